//! `kernels check`: every kernel against the recurrence in f64, on the devices that are here.

use std::process::Command;

fn check(device: &str) {
    let out = Command::new(env!("CARGO_BIN_EXE_kernels"))
        .args(["check", "--quick", "--device", device])
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{device}:\n{text}\n{errors}");
    assert!(
        text.contains("F32: worst relative error"),
        "{device}: nothing was checked:\n{text}"
    );
}

#[test]
fn the_cpu_kernels_equal_the_recurrence() {
    check("cpu");
}

/// The GPU kernels, on any Vulkan driver: Mesa's software one will do.
#[cfg(feature = "wgpu")]
#[test]
fn the_gpu_kernels_equal_the_recurrence() {
    check("wgpu");
}

#[test]
fn an_unknown_device_is_named() {
    let out = Command::new(env!("CARGO_BIN_EXE_kernels"))
        .args(["check", "--device", "tpu"])
        .output()
        .expect("the program runs");
    assert!(!out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("tpu"));
}
