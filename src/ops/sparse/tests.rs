//! The sparse product against the dense one of the same matrix.

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tgmamba_graph::topology::CsrGraph;

use super::{SparseMatrix, packed, sparse_product};
use crate::ops::graph_scan::{ScanInput, reference::StateWeights, sparse_graph_scan};

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
fn packed_rows_are_those_of_the_graph_and_of_its_transpose() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut graphs: Vec<CsrGraph> = [2, 3, 4, 30].map(|v| graph(v, 3, &mut rng)).into();
    graphs.push(CsrGraph::from_edges(5, &[]).unwrap());
    for graph in graphs {
        let v = graph.n_nodes();
        let transposed = graph.transposed();
        let data = packed::pack([&graph, &transposed]).unwrap();
        let numbers = data.as_slice::<f32>().unwrap();
        let width = numbers.len() / 2;
        assert_eq!(data.shape().to_vec(), [1, 1, 2, width]);
        assert_eq!(width % 4, 0);
        for (half, want) in numbers.chunks(width).zip([&graph, &transposed]) {
            let rows: Vec<Vec<(usize, f32)>> =
                packed::rows(half, v).map(Iterator::collect).collect();
            for (row, found) in rows.iter().enumerate() {
                let (sources, weights) = want.row(row);
                let want = sources.iter().zip(weights);
                let want: Vec<_> = want.map(|(s, w)| (*s as usize, *w)).collect();
                assert_eq!(*found, want, "row {row} of {v}");
            }
            assert_eq!(rows.len(), v);
        }
    }
}

/// A scan over two vertices, by a matrix of as many as `graph` has.
fn scan_over(graph: &CsrGraph, device: &Device) -> Vec<f32> {
    let ones = |shape: [usize; 4]| Tensor::<4>::ones(shape, device);
    let eye = || Tensor::<2>::eye(2, device);
    let input = ScanInput {
        u: ones([1, 2, 3, 1]),
        delta: ones([1, 2, 3, 1]),
        a: Tensor::zeros([1, 2], device),
        b: ones([1, 2, 3, 2]),
        c: ones([1, 2, 3, 2]),
        d: None,
        initial_state: None,
    };
    let weights = StateWeights {
        a_root: Some(eye()),
        a_rel: eye(),
        c_root: Some(eye()),
        c_rel: eye(),
    };
    let out = sparse_graph_scan(input, &SparseMatrix::new(graph, device), weights);
    out.y.into_data().iter::<f32>().collect()
}

fn scans_by_hand(device: &Device) {
    // h_t = h_{t-1} + P h_{t-1} + 1 and y_t = 2 (h_t + P h_t), for two equal states.
    let none = CsrGraph::from_edges(2, &[]).unwrap();
    assert_eq!(scan_over(&none, device), [2.0, 4.0, 6.0, 2.0, 4.0, 6.0]);
    let one = CsrGraph::from_edges(2, &[(0, 1, 0.5)]).unwrap();
    assert_eq!(scan_over(&one, device), [2.0, 4.0, 6.0, 3.0, 7.0, 12.0]);
}

#[test]
fn a_scan_over_edges_is_that_by_hand() {
    scans_by_hand(&Device::flex());
}

#[test]
#[should_panic(expected = "graph_scan: u is [1, 2, 3, 1], expected [1, 3, 3, 1]")]
fn a_scan_over_another_number_of_vertices_is_refused() {
    scan_over(&CsrGraph::from_edges(3, &[]).unwrap(), &Device::flex());
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
    let device = Device::wgpu(Default::default());
    check(&device);
    scans_by_hand(&device);
}
