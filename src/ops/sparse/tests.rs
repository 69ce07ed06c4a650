//! The sparse product against the dense one of the same matrix.

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tgmamba_graph::topology::CsrGraph;

use super::{SparseMatrix, sparse_product};

/// Edges between `v` vertices, one in `every` pairs; the last vertex has none.
fn graph(v: usize, every: u32, rng: &mut ChaCha8Rng) -> CsrGraph {
    let mut edges = Vec::new();
    for target in 0..v - 1 {
        for source in 0..v - 1 {
            if rng.random_range(0..every) == 0 {
                edges.push((source, target, rng.random_range(-1.0..1.0f32)));
            }
        }
    }
    CsrGraph::from_edges(v, &edges).unwrap()
}

fn check(device: &Device) {
    let device = device.clone().autodiff();
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (b, v, c) in [(1, 2, 1), (3, 7, 5), (2, 150, 33)] {
        let graph = graph(v, 4, &mut rng);
        let dense: Vec<f32> = graph.to_dense().iter().copied().collect();
        let dense = Tensor::<3>::from_data(TensorData::new(dense, [1, v, v]), &Device::flex());
        let random = |n: usize| {
            Tensor::<3>::random([b, v, n], Distribution::Normal(0.0, 1.0), &Device::flex())
        };
        let (x, w) = (random(c), random(c));
        let want = dense.clone().matmul(x.clone());
        let want_dx = dense.swap_dims(1, 2).matmul(w.clone());

        let on = |t: Tensor<3>| Tensor::<3>::from_data(t.into_data(), &device);
        let x = on(x).require_grad();
        let y = sparse_product(&SparseMatrix::new(&graph, &device), x.clone());
        let grads = (y.clone() * on(w)).sum().backward();
        let dx = x.grad(&grads).unwrap();
        for (got, want, name) in [(y.into_data(), want, "Y"), (dx.into_data(), want_dx, "dX")] {
            let (got, want): (Vec<f32>, Vec<f32>) =
                (got.iter().collect(), want.into_data().iter().collect());
            for (got, want) in got.iter().zip(&want) {
                assert!(
                    (got - want).abs() < 1e-4,
                    "{name} of {b} {v} {c}: {got} {want}"
                );
            }
        }
    }
}

#[test]
fn is_the_dense_product() {
    check(&Device::flex());
}

#[test]
fn a_graph_without_edges_gives_zero() {
    let device = Device::flex();
    let graph = CsrGraph::from_edges(3, &[]).unwrap();
    let y = sparse_product(
        &SparseMatrix::new(&graph, &device),
        Tensor::ones([2, 3, 4], &device),
    );
    assert_eq!(y.into_data().iter::<f32>().map(f32::abs).sum::<f32>(), 0.0);
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn is_the_dense_product_on_a_gpu() {
    check(&Device::wgpu(Default::default()));
}
