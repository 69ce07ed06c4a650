//! The place where compiled GPU kernels and measured choices are kept.

use std::ffi::OsString;
use std::path::PathBuf;

/// The folder, or why there is none.
type Kept = Result<PathBuf, String>;

/// The line for the first use of a GPU.
pub(super) fn first_use(kept: &Kept) -> String {
    let kept = match kept {
        Ok(folder) => format!("they are kept in {}", folder.display()),
        Err(problem) => format!(
            "they are not kept for the next run: {problem}; set TGMAMBA_CACHE to a folder for them"
        ),
    };
    format!("the first steps on a GPU compile and tune kernels, seconds to a minute; {kept}")
}

/// Where compiled kernels and measured choices are kept: `TGMAMBA_CACHE`, else `tgmamba/kernels`
/// in the user's cache folder (`XDG_CACHE_HOME`, else `.cache` in the home folder).
fn cache_folder(
    variable: impl Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("TGMAMBA_CACHE").or_else(|| {
        let user = set("XDG_CACHE_HOME").filter(|p| p.is_absolute());
        let user = user.or_else(|| Some(home?.join(".cache")))?;
        Some(user.join("tgmamba").join("kernels"))
    })
}

/// Makes the folder if need be; what is wrong if it cannot be written.
fn writable(folder: Option<PathBuf>) -> Kept {
    let folder = folder.ok_or("there is no home folder")?;
    let problem = |e: std::io::Error| format!("{} cannot be written ({e})", folder.display());
    std::fs::create_dir_all(&folder).map_err(problem)?;
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"").map_err(problem)?;
    std::fs::remove_file(&probe).map_err(problem)?;
    Ok(folder)
}

/// Sets the folder of the kernel cache, once per process and before the first device starts;
/// what is wrong if kernels cannot be kept.
///
/// CubeCL's own settings (`cubecl.toml`, `CUBECL_*`) hold but for the folder and, where kernels can
/// be kept, `compilation.cache`, which it leaves off: entries carry the build of the program, so
/// that a changed kernel is never mistaken for an old one.
#[cfg(feature = "cube")]
pub(super) fn kernel_cache() -> &'static Kept {
    use cubecl::config::cache::CacheConfig;
    use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
    use std::sync::OnceLock;

    static FOLDER: OnceLock<Kept> = OnceLock::new();
    let set = || {
        let folder = cache_folder(|name| std::env::var_os(name), std::env::home_dir());
        let folder = writable(folder);
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        match &folder {
            Ok(folder) => {
                config.environment.path = CacheConfig::Directory(folder.clone());
                config.compilation.cache = true;
            }
            Err(_) => {
                config.compilation.cache = false;
                config.autotune.disable_cache = true;
                config.throughput.disable_cache = true;
            }
        }
        // Settings that something in this process has read before cannot change any more.
        match CubeClRuntimeConfig::try_set(config) {
            true => folder,
            false => Err("CubeCL was in use before".into()),
        }
    };
    FOLDER.get_or_init(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_kept_in_the_users_cache_folder() {
        let folder = |set: &[(&str, &str)], home: Option<&str>| {
            let variable = |name: &str| {
                let found = set.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| OsString::from(value))
            };
            cache_folder(variable, home.map(PathBuf::from))
        };
        let xdg = ("XDG_CACHE_HOME", "/x");
        assert_eq!(
            folder(&[("TGMAMBA_CACHE", "here"), xdg], Some("/h")),
            Some("here".into())
        );
        assert_eq!(
            folder(&[("TGMAMBA_CACHE", ""), xdg], Some("/h")),
            Some("/x/tgmamba/kernels".into())
        );
        assert_eq!(
            folder(&[("XDG_CACHE_HOME", "relative")], Some("/h")),
            Some("/h/.cache/tgmamba/kernels".into())
        );
        assert_eq!(folder(&[], None), None);
    }

    #[test]
    fn a_cache_folder_must_be_writable() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("a/b");
        assert_eq!(writable(Some(new.clone())).unwrap(), new);
        assert_eq!(std::fs::read_dir(&new).unwrap().count(), 0);
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let problem = writable(Some(file.join("cache"))).unwrap_err();
        assert!(problem.contains("cannot be written"), "{problem}");
        assert!(writable(None).unwrap_err().contains("no home folder"));
    }

    #[test]
    fn the_first_use_says_where_kernels_are_kept() {
        let line = first_use(&Ok("/c/kernels".into()));
        assert!(line.contains("compile") && line.ends_with("kept in /c/kernels"));
        let line = first_use(&writable(None));
        assert!(
            line.contains("not kept for the next run: there is no home folder")
                && line.contains("TGMAMBA_CACHE"),
            "{line}"
        );
    }
}
