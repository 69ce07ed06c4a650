#!/bin/sh
# Puts Debian sid's LLVM 23.1 where tracel-llvm-bundler 23.1.0-4 (cubecl 0.11.3) looks for its own
# bundle, so that burn/cuda (LLVM backend) and burn/cpu build without reaching GitHub.
# For machines that reach a Debian mirror but not GitHub: run it once, before building with
# --features cuda. Nothing is installed system-wide. Usage: scripts/llvm23-for-cubecl.sh [WORKDIR]
# Works on Debian 12 (glibc 2.36): static LLVM + static libstdc++ 16 + four glibc 2.38 shims.
set -e
# the machine's own Debian mirror
MIRROR=$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | awk '/^URIs:/{print $2; exit} /^deb /{for(i=2;i<=NF;i++) if ($i ~ /^http/) {print $i; exit}}')
W=${1:-$(mktemp -d)}; PFX=$HOME/.local/share/tracel/tracel-llvm-23.1.0-4
mkdir -p $W/apt/lists/partial $W/apt/cache/archives/partial $W/debs $W/tree $PFX/bin $PFX/lib $PFX/include
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $MIRROR sid main" > $W/apt/sources.list
printf 'Dir::Etc::sourcelist "%s/apt/sources.list";\nDir::Etc::sourceparts "/dev/null";\nDir::State::Lists "%s/apt/lists";\nDir::Cache "%s/apt/cache";\n' $W $W $W > $W/apt/apt.conf
export APT_CONFIG=$W/apt/apt.conf
apt-get update -q
(cd $W/debs && apt-get download llvm-23-dev llvm-23 libllvm23 libstdc++-16-dev libgcc-16-dev libstdc++6 libgcc-s1 libc6 libzstd-dev zlib1g-dev && for f in *.deb; do dpkg -x $f $W/tree; done)
cd $W/tree; ln -sfn llvm-23/lib usr/lib/lib
P=$PWD/usr/lib/x86_64-linux-gnu:$PWD/usr/lib/llvm-23/lib:/usr/lib/x86_64-linux-gnu
LIBS=$(usr/lib64/ld-linux-x86-64.so.2 --library-path $P usr/lib/llvm-23/bin/llvm-config --link-static --libs core native nvptx orcjit executionengine mcjit passes linker bitreader bitwriter ipo target analysis irreader)
cp -rL usr/lib/llvm-23/include/llvm usr/lib/llvm-23/include/llvm-c $PFX/include/
for l in $LIBS; do cp usr/lib/llvm-23/lib/lib${l#-l}.a $PFX/lib/; done
cd $PFX/include/llvm/Config   # only X86 and NVPTX
sed -i -E '/^LLVM_TARGET\((X86|NVPTX)\)/!{/^LLVM_TARGET\(/d}' Targets.def
sed -i -E '/^LLVM_ASM_PARSER\((X86)\)/!{/^LLVM_ASM_PARSER\(/d}' AsmParsers.def
sed -i -E '/^LLVM_ASM_PRINTER\((X86|NVPTX)\)/!{/^LLVM_ASM_PRINTER\(/d}' AsmPrinters.def
sed -i -E '/^LLVM_DISASSEMBLER\((X86)\)/!{/^LLVM_DISASSEMBLER\(/d}' Disassemblers.def
cat > $PFX/bin/llvm-config <<X
#!/bin/sh
for a in "\$@"; do case "\$a" in
 --link-static) ;;
 --libs|--libnames) echo "$LIBS";;
 --system-libs) echo "-lrt -ldl -lm -lz -lzstd";;
 --libdir) echo "$PFX/lib";;
 --includedir) echo "$PFX/include";;
 --version) echo 23.1.4;;
 --cxxflags) echo "-I$PFX/include -std=c++17 -D_GNU_SOURCE -D_GLIBCXX_USE_CXX11_ABI=1 -D__STDC_CONSTANT_MACROS -D__STDC_FORMAT_MACROS -D__STDC_LIMIT_MACROS -fno-exceptions";;
 --cflags) echo "-I$PFX/include -D_GNU_SOURCE";;
 *) echo unknown \$a >&2; exit 1;;
esac; done
X
chmod +x $PFX/bin/llvm-config
cat > $W/compat.c <<'X'
#include <stdlib.h>
long __isoc23_strtol(const char*a,char**b,int c){return strtol(a,b,c);}
unsigned long __isoc23_strtoul(const char*a,char**b,int c){return strtoul(a,b,c);}
long long __isoc23_strtoll(const char*a,char**b,int c){return strtoll(a,b,c);}
unsigned long long __isoc23_strtoull(const char*a,char**b,int c){return strtoull(a,b,c);}
X
gcc -O2 -fPIC -c $W/compat.c -o $W/compat.o && ar rcs $PFX/lib/libcompat23.a $W/compat.o
cp $W/tree/usr/lib/gcc/x86_64-linux-gnu/16/libstdc++.a $PFX/lib/libstdcxx16.a
cp $W/tree/usr/lib/x86_64-linux-gnu/libz.a $PFX/lib/libz_sid.a
cp $W/tree/usr/lib/x86_64-linux-gnu/libzstd.a $PFX/lib/libzstd_sid.a
echo "INPUT($PFX/lib/libstdcxx16.a $PFX/lib/libcompat23.a)" > $PFX/lib/libstdc++.so
echo "INPUT($PFX/lib/libz_sid.a)" > $PFX/lib/libz.so
echo "INPUT($PFX/lib/libzstd_sid.a)" > $PFX/lib/libzstd.so
touch $PFX/.tracel-llvm-installed
