//! Devices by name: which there are and what they need.

#[cfg(any(feature = "cuda", test))]
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::DeviceType;

#[cfg(feature = "cube")]
use super::kernel_cache::{first_use, kernel_cache};
use crate::error::{Error, Result};

/// A device as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Cpu,
    Cuda(usize),
    Wgpu,
}

impl Name {
    fn parse(name: &str) -> Result<Self> {
        match name.split_once(':') {
            None if name == "cpu" => Ok(Self::Cpu),
            None if name == "cuda" => Ok(Self::Cuda(0)),
            None if name == "wgpu" => Ok(Self::Wgpu),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| {
                Error::config(
                    "--device",
                    format!("\"{name}\" has no device number"),
                    "give cuda:0",
                )
            }),
            _ => {
                let known = ["cpu", "cuda", "cuda:N", "wgpu"];
                Err(Error::unknown("device", name, &known))
            }
        }
    }
}

/// Device by name: `cpu`, `cuda`, `cuda:N` or `wgpu`.
///
/// With the CPU the process keeps the memory it frees from then on (glibc's `mallopt`), which makes the
/// steps of a training faster at the same peak. The first GPU of a process sets the place where compiled
/// kernels are kept (`TGMAMBA_CACHE`, else the user's cache folder) and says so on stdout and in the log.
///
/// # Errors
/// A name that is unknown or whose backend is not part of this build; a GPU whose driver, libraries
/// or device number are missing.
pub fn device(name: &str) -> Result<Device> {
    opened(name, true)
}

/// As [`device`], without the line on stdout.
pub(super) fn device_quietly(name: &str) -> Result<Device> {
    opened(name, false)
}

/// The devices that programs work on.
static OPENED: Mutex<Vec<Device>> = Mutex::new(Vec::new());

fn opened(name: &str, on_stdout: bool) -> Result<Device> {
    let device = open(name)?;
    announce(name, on_stdout)?;
    if crate::ops::is_cpu(&device) {
        keep_freed_memory();
    }
    let mut opened = OPENED.lock().unwrap_or_else(|e| e.into_inner());
    if !opened.contains(&device) {
        opened.push(device.clone());
    }
    Ok(device)
}

/// Lets the program keep what it frees, as GPU backends do: glibc gives arrays of 32 MB and more back
/// to the system at once and gets them anew page by page, each of which is zeroed first. In steps that
/// use the same sizes again and again that took a quarter of the time.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const AT_ONCE: i32 = 64 << 20;
        // SAFETY: only parameters of malloc are set. It answers 0 to one it refuses, which costs time
        // alone.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
            libc::mallopt(libc::M_TOP_PAD, AT_ONCE);
        }
    }
}

/// Waits until the devices have done what this thread asked of them, freeing memory included: a driver
/// that goes away with the process must not be called any more.
pub fn settle() {
    let opened = OPENED.lock().unwrap_or_else(|e| e.into_inner());
    for device in opened.iter() {
        if let Err(e) = device.sync() {
            log::info!("a device at the end of the program: {e}");
        }
    }
}

/// Whether the device can be used, as [`device`] decides.
pub(super) fn check(name: &str) -> Result<()> {
    open(name).map(drop)
}

fn open(name: &str) -> Result<Device> {
    match Name::parse(name)? {
        Name::Cpu => cpu(),
        Name::Cuda(index) => cuda(index),
        Name::Wgpu => wgpu(),
    }
}

#[cfg(feature = "flex")]
fn cpu() -> Result<Device> {
    Ok(Device::flex())
}

#[cfg(not(feature = "flex"))]
fn cpu() -> Result<Device> {
    Err(not_built("cpu", "flex"))
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    kernel_cache();
    let count = Device::enumerate(DeviceType::Cuda).into_iter().count();
    if count == 0 {
        return Err(no_nvidia_gpu(&library_folders()));
    }
    if index >= count {
        return Err(no_such_gpu(index, count));
    }
    let given = std::env::var("CUDA_PATH").ok();
    libdevice(given.as_deref().map(Path::new), &CUDA_ROOTS.map(Path::new))?;
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device> {
    Err(not_built("cuda", "cuda"))
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device> {
    use std::sync::OnceLock;

    // A second start of the same adapter is refused.
    static STARTED: OnceLock<std::result::Result<Device, String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        kernel_cache();
        if Device::enumerate(DeviceType::Wgpu).into_iter().count() == 0 {
            return Err("there is no graphics adapter".into());
        }
        let started = Device::wgpu_options().init_with_setup();
        let (device, setup) = started.map_err(|e| e.to_string())?;
        // Without a Vulkan driver OpenGL may answer, whose limits are lower.
        let buffers = setup.device.limits().max_storage_buffers_per_shader_stage;
        let adapter = format!("{} ({:?})", setup.adapter.get_info().name, setup.backend);
        enough_buffers(buffers, &adapter).map(|()| device)
    });
    started.clone().map_err(|problem| no_adapter(&problem))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device> {
    Err(not_built("wgpu", "wgpu"))
}

#[cfg(any(not(all(feature = "flex", feature = "cuda", feature = "wgpu")), test))]
fn not_built(device: &str, feature: &str) -> Error {
    Error::config(
        "--device",
        format!("this program was built without {device}"),
        format!("build it with cargo build --release --features {feature}"),
    )
}

/// Refuses an adapter that cannot run the kernel with the most arguments, the backward pass of the
/// graph scan, which has 27.
#[cfg(any(feature = "wgpu", test))]
fn enough_buffers(buffers: u32, adapter: &str) -> std::result::Result<(), String> {
    match buffers {
        27.. => Ok(()),
        _ => Err(format!(
            "{adapter} takes {buffers} buffers per kernel, 27 are needed"
        )),
    }
}

#[cfg(any(feature = "wgpu", test))]
fn no_adapter(problem: &str) -> Error {
    Error::config(
        "--device",
        format!("wgpu cannot start: {problem}"),
        "install the Vulkan driver of the GPU (Debian, Ubuntu: mesa-vulkan-drivers, which also \
         computes on the CPU where there is no GPU)",
    )
}

#[cfg(any(feature = "cuda", test))]
const DRIVER: &str = if cfg!(windows) {
    "nvcuda.dll"
} else {
    "libcuda.so.1"
};

/// Where the loader usually finds the driver's library; only to say more in an error.
#[cfg(feature = "cuda")]
fn library_folders() -> Vec<PathBuf> {
    let given = std::env::var_os(if cfg!(windows) {
        "PATH"
    } else {
        "LD_LIBRARY_PATH"
    });
    let usual = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/nvidia/lib64",
        "/usr/lib/wsl/lib",
    ];
    let given = given.iter().flat_map(std::env::split_paths);
    given.chain(usual.into_iter().map(PathBuf::from)).collect()
}

#[cfg(any(feature = "cuda", test))]
fn no_nvidia_gpu(folders: &[PathBuf]) -> Error {
    let found = folders.iter().map(|f| f.join(DRIVER)).find(|p| p.exists());
    match found {
        Some(driver) => Error::config(
            "--device",
            format!("the NVIDIA driver ({}) reports no GPU", driver.display()),
            "check nvidia-smi and CUDA_VISIBLE_DEVICES; a container needs the GPU passed through \
             (docker run --gpus all)",
        ),
        None => Error::config(
            "--device",
            format!(
                "there is no NVIDIA driver: {DRIVER} was not found in {}",
                listed(folders)
            ),
            "install the NVIDIA driver (Debian: nvidia-driver, Ubuntu: ubuntu-drivers install); a \
             container needs it passed through (docker run --gpus all)",
        ),
    }
}

#[cfg(any(feature = "cuda", test))]
fn no_such_gpu(index: usize, count: usize) -> Error {
    let (there, remedy) = match count {
        1 => ("is 1 CUDA device".to_string(), "give cuda:0".to_string()),
        _ => (
            format!("are {count} CUDA devices"),
            format!("give cuda:0 to cuda:{}", count - 1),
        ),
    };
    Error::config(
        "--device",
        format!("there is no cuda:{index}; there {there}"),
        remedy,
    )
}

/// Where cubecl-llvm looks for the CUDA toolkit if `CUDA_PATH` is not set, in its order.
#[cfg(feature = "cuda")]
const CUDA_ROOTS: [&str; 4] = ["/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda", "/usr"];

/// NVIDIA's library of mathematical functions, which every kernel with an exponential needs.
///
/// Looks as cubecl-llvm 0.11 does when it compiles such a kernel, where a library that is missing
/// would end the program: under `CUDA_PATH` alone if that is set, else under the first of `roots`
/// that has a folder for it.
#[cfg(any(feature = "cuda", test))]
fn libdevice(given: Option<&Path>, roots: &[&Path]) -> Result<PathBuf> {
    let folder = |root: &Path| root.join("nvvm").join("libdevice");
    let first = roots.iter().copied().find(|root| folder(root).is_dir());
    let sought: Vec<PathBuf> = match given.or(first) {
        Some(root) => vec![root.to_path_buf()],
        None => roots.iter().map(|root| root.to_path_buf()).collect(),
    };
    let files = sought
        .iter()
        .map(|root| folder(root).join("libdevice.10.bc"));
    files.into_iter().find(|f| f.is_file()).ok_or_else(|| {
        let place = match given {
            Some(_) => "CUDA_PATH, which is",
            None => "any of",
        };
        Error::config(
            "--device",
            format!(
                "cuda needs nvvm/libdevice/libdevice.10.bc of the CUDA toolkit, which is not in \
                 {place} {}",
                listed(&sought)
            ),
            "install the CUDA toolkit (Debian, Ubuntu: nvidia-cuda-toolkit) and set CUDA_PATH to \
             the folder that has nvvm in it",
        )
    })
}

#[cfg(any(feature = "cuda", test))]
fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    paths.join(", ")
}

/// Says once per process that a GPU compiles kernels at first, and where they are kept.
fn announce(name: &str, on_stdout: bool) -> Result<()> {
    #[cfg(feature = "cube")]
    if Name::parse(name)? != Name::Cpu {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let kept = kernel_cache();
            let line = first_use(kept);
            if kept.is_err() && on_stdout {
                log::warn!("{line}");
                return;
            }
            log::info!("{line}");
            if on_stdout {
                say!("{line}");
            }
        });
    }
    #[cfg(not(feature = "cube"))]
    let _ = (name, on_stdout);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        for (name, parsed) in [
            ("cpu", Name::Cpu),
            ("cuda", Name::Cuda(0)),
            ("cuda:0", Name::Cuda(0)),
            ("cuda:3", Name::Cuda(3)),
            ("wgpu", Name::Wgpu),
        ] {
            assert_eq!(Name::parse(name).unwrap(), parsed, "{name}");
        }
        for (wrong, hint) in [
            ("gpu", "known: cpu, cuda, cuda:N, wgpu"),
            ("cudda", "did you mean \"cuda\""),
            ("cpu:0", "unknown device"),
            ("wgpu:1", "unknown device"),
            ("cuda:", "give cuda:0"),
            ("cuda:-1", "give cuda:0"),
            ("", "unknown device"),
        ] {
            let message = Name::parse(wrong).unwrap_err().to_string();
            assert!(message.contains(hint), "{wrong}: {message}");
        }
    }

    #[test]
    fn a_device_that_is_not_built_names_the_feature() {
        let message = not_built("wgpu", "wgpu").to_string();
        assert_eq!(
            message,
            "--device: this program was built without wgpu; build it with cargo build --release \
             --features wgpu"
        );
        #[cfg(not(feature = "cuda"))]
        assert!(
            device("cuda:1")
                .unwrap_err()
                .to_string()
                .contains("--features cuda")
        );
        #[cfg(not(feature = "wgpu"))]
        assert!(
            device("wgpu")
                .unwrap_err()
                .to_string()
                .contains("--features wgpu")
        );
        #[cfg(feature = "flex")]
        device("cpu").unwrap();
    }

    #[test]
    fn a_missing_driver_is_told_from_a_missing_gpu() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().join("none"), folder.path().to_path_buf()];
        let message = no_nvidia_gpu(&folders).to_string();
        let place = folder.path().display().to_string();
        assert!(
            message.contains(&format!("{DRIVER} was not found in"))
                && message.contains(&place)
                && message.contains("install the NVIDIA driver"),
            "{message}"
        );
        std::fs::write(folder.path().join(DRIVER), b"").unwrap();
        let message = no_nvidia_gpu(&folders).to_string();
        assert!(
            message.contains("reports no GPU") && message.contains(&place),
            "{message}"
        );
    }

    #[test]
    fn a_device_number_beyond_the_last_says_which_there_are() {
        let message = no_such_gpu(3, 2).to_string();
        assert!(message.contains("no cuda:3") && message.contains("cuda:0 to cuda:1"));
        let message = no_such_gpu(1, 1).to_string();
        assert!(
            message.contains("is 1 CUDA device; give cuda:0"),
            "{message}"
        );
    }

    #[test]
    fn a_missing_adapter_says_what_to_install() {
        let message = no_adapter("there is no graphics adapter").to_string();
        assert!(
            message.contains("wgpu cannot start: there is no graphics adapter")
                && message.contains("mesa-vulkan-drivers"),
            "{message}"
        );
        enough_buffers(27, "A (Vulkan)").unwrap();
        let problem = enough_buffers(16, "A (Gl)").unwrap_err();
        assert_eq!(problem, "A (Gl) takes 16 buffers per kernel, 27 are needed");
    }

    #[test]
    fn libdevice_is_sought_as_the_compiler_does() {
        let folder = tempfile::tempdir().unwrap();
        let root = |name: &str| folder.path().join(name);
        let file = |name: &str| root(name).join("nvvm/libdevice/libdevice.10.bc");
        for name in ["empty", "full"] {
            std::fs::create_dir_all(file(name).parent().unwrap()).unwrap();
        }
        std::fs::write(file("full"), b"").unwrap();
        let (empty, full, none) = (root("empty"), root("full"), root("none"));

        let found = libdevice(None, &[&none, &full, &empty]).unwrap();
        assert_eq!(found, file("full"));
        assert_eq!(libdevice(Some(&full), &[&none]).unwrap(), found);
        // The first folder counts even where the file is missing, and CUDA_PATH alone if set.
        let message = libdevice(None, &[&empty, &full]).unwrap_err().to_string();
        assert!(
            message.contains(&empty.display().to_string())
                && !message.contains(&full.display().to_string()),
            "{message}"
        );
        let message = libdevice(Some(&none), &[&full]).unwrap_err().to_string();
        assert!(
            message.contains(&format!("CUDA_PATH, which is {}", none.display()))
                && message.contains("nvidia-cuda-toolkit"),
            "{message}"
        );
        let message = libdevice(None, &[&none]).unwrap_err().to_string();
        assert!(
            message.contains("libdevice.10.bc") && message.contains(&none.display().to_string()),
            "{message}"
        );
    }
}
