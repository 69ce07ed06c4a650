//! Where new values are seen.

use burn::tensor::{Device, Tensor};

use super::overwrite;

fn written(device: &Device) -> (Vec<f32>, Vec<f32>) {
    let target = Tensor::<2>::from_floats([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device);
    let clone = target.clone();
    let source = Tensor::<2>::from_floats([[7.0, 8.0], [9.0, 10.0], [11.0, 12.0]], device);
    let new = overwrite(target, source.swap_dims(0, 1));
    let values = |t: Tensor<2>| t.into_data().iter::<f32>().collect();
    (values(new), values(clone))
}

const NEW: [f32; 6] = [7.0, 9.0, 11.0, 8.0, 10.0, 12.0];

#[test]
fn the_result_has_the_new_values() {
    assert_eq!(written(&Device::flex()).0, NEW);
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn clones_see_the_new_values_on_a_gpu() {
    let (new, clone) = written(&Device::wgpu(Default::default()));
    assert_eq!(new, NEW);
    assert_eq!(clone, NEW);
}
