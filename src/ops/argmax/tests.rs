//! Places against the plain definition.

use burn::tensor::{Device, Tensor, TensorData};

use super::argmax;

fn places(device: &Device, rows: &[Vec<f32>], count: usize) -> Vec<f32> {
    let shape = [rows.len(), rows[0].len()];
    let x = Tensor::<2>::from_data(TensorData::new(rows.concat(), shape), device);
    argmax(x, count).into_data().iter::<f32>().collect()
}

fn check(device: &Device) {
    for (n, count) in [(1, 1), (7, 5), (3000, 2500)] {
        let row = |seed: usize| -> Vec<f32> {
            (0..n)
                .map(|i| ((i * 7919 + seed * 104_729) % 613) as f32 - 700.0)
                .collect()
        };
        let rows: Vec<Vec<f32>> = (0..3).map(row).collect();
        let wanted: Vec<f32> = rows
            .iter()
            .map(|row| {
                let row = &row[..count];
                let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                row.iter().position(|v| *v == top).unwrap() as f32
            })
            .collect();
        assert_eq!(places(device, &rows, count), wanted, "{n} {count}");
    }
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut row = vec![0.5; 2000];
        row[1999] = bad;
        let found = places(device, &[row.clone(), vec![1.0; 2000]], 2000);
        assert!(found == [-1.0, 0.0], "{bad}: {found:?}");
        assert_eq!(places(device, &[row], 1999), [0.0]);
    }
    assert_eq!(places(device, &[vec![f32::MIN; 3]], 3), [0.0]);
}

#[test]
fn places_are_those_of_the_largest() {
    check(&Device::flex());
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn places_are_those_of_the_largest_on_a_gpu() {
    check(&Device::wgpu(Default::default()));
}
