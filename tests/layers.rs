//! Every layer against PyTorch and PyTorch Geometric in float64: outputs and gradients.

mod common;

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use common::{Fixture, TOLERANCE, assert_close, load};
use tgmamba::models::ModelConfig;
use tgmamba::nn::graph_conv::{
    ChebConv, GcnConv, GraphConv, LinearForm, RootConv, propagation_matrix,
};
use tgmamba::nn::{
    BlockState, ConvType, DepthwiseConv, GatV2Conv, GatedRmsNorm, StateMixing, propagation,
    rms_norm,
};
use tgmamba::training::loss::classification_loss;

fn device() -> Device {
    Device::flex().autodiff()
}

fn linear(fixture: &Fixture, name: &str, device: &Device) -> Linear {
    let weight = fixture.tensor::<2>(&format!("param.{name}.weight"), device);
    Linear {
        weight: Param::from_tensor(weight.transpose()),
        bias: None,
    }
}

#[test]
fn graph_convolutions_are_those_of_pytorch_geometric() {
    let device = device();
    for (name, conv_type) in [
        ("graphconv", ConvType::GraphConv),
        ("gcnconv", ConvType::GcnConv),
        ("chebconv", ConvType::ChebConv),
        ("gatv2conv", ConvType::GatV2Conv),
        ("gatv2conv_edges", ConvType::GatV2Conv),
    ] {
        let fixture = Fixture::open(&format!("gconv/{name}"));
        let lin = |name: &str| linear(&fixture, name, &device);
        let conv = match conv_type {
            ConvType::GraphConv => GraphConv::Root(RootConv {
                lin_rel: lin("lin_rel"),
                lin_root: lin("lin_root"),
            }),
            ConvType::GcnConv => GraphConv::Gcn(GcnConv { lin: lin("lin") }),
            ConvType::ChebConv => GraphConv::Cheb(ChebConv {
                lins: vec![lin("lins.0"), lin("lins.1")],
            }),
            _ => GraphConv::Attention(GatV2Conv {
                att: Param::from_tensor(fixture.tensor("param.att", &device)),
                lin_l: lin("lin_l"),
                lin_r: lin("lin_r"),
                lin_edge: fixture
                    .has("param.lin_edge.weight")
                    .then(|| lin("lin_edge")),
            }),
        };
        let x = fixture.tensor::<3>("in.x", &device).require_grad();
        let a = fixture.tensor::<3>("in.adjacency", &device).require_grad();
        let p = propagation_matrix(
            conv_type,
            StateMixing::Reference,
            a.clone().unsqueeze_dim(1),
        );
        if fixture.has("out.p") {
            fixture.check("out.p", p.clone());
        }
        let y = conv
            .forward(x.clone().unsqueeze_dim(2), p)
            .squeeze_dim::<3>(2);
        fixture.check("out.y", y.clone());
        let cotangent = fixture.tensor::<3>("in.cotangent", &device);
        let grads = (y * cotangent).sum().backward();
        fixture.check("grad.in.x", x.grad(&grads).unwrap());
        if fixture.has("grad.in.adjacency") {
            fixture.check_on_edges("grad.in.adjacency", "in.adjacency", a.grad(&grads).unwrap());
        }
        fixture.check_gradients(conv, &grads);
    }
}

#[test]
fn bounded_mixing_normalises_rows_and_scales_columns() {
    let device = device();
    let fixture = Fixture::open("gconv/row_normalised");
    let p = fixture.tensor::<3>("in.p", &device).require_grad();
    let out = propagation::row_normalised(p.clone().unsqueeze_dim(1)).squeeze_dim::<3>(1);
    fixture.check("out.p", out.clone());
    let grads = (out * fixture.tensor("in.cotangent", &device))
        .sum()
        .backward();
    fixture.check_on_edges("grad.in.p", "in.p", p.grad(&grads).unwrap());

    let fixture = Fixture::open("gconv/column_bounded");
    let root = fixture.tensor::<2>("param.w_root", &device).require_grad();
    let rel = fixture.tensor::<2>("param.w_rel", &device).require_grad();
    let form = LinearForm {
        root: Some(root.clone()),
        rel: rel.clone(),
    }
    .bounded();
    let out = Tensor::cat(vec![form.root.unwrap(), form.rel], 0);
    fixture.check("out.w", out.clone());
    let grads = (out * fixture.tensor("in.cotangent", &device))
        .sum()
        .backward();
    fixture.check("grad.param.w_root", root.grad(&grads).unwrap());
    fixture.check("grad.param.w_rel", rel.grad(&grads).unwrap());
}

/// A model configuration around the settings of a fixture.
fn config_of(fixture: &Fixture, d_model: usize, vertices: usize) -> ModelConfig {
    let mut value = fixture.config.clone();
    let fields = value.as_object_mut().unwrap();
    fields.remove("graph");
    for (name, number) in [
        ("input_dim", 1),
        ("num_classes", 2),
        ("num_vertices", vertices),
    ] {
        fields.insert(name.into(), number.into());
    }
    fields.entry("d_model").or_insert(d_model.into());
    serde_json::from_value(value).unwrap()
}

#[test]
fn edge_learner_in_all_its_modes() {
    let device = device();
    for fixture in Fixture::all("edge_learner") {
        let x = fixture.tensor::<4>("in.x", &device).require_grad();
        let [_, v, _, d] = x.dims();
        let mut config = config_of(&fixture, d, v);
        config.expand = 1;
        let learner = config.block().edge_learner.init(&device).unwrap();
        let learner = load(learner, &fixture.under("param."));
        let given = fixture.has("in.adjacency");
        let a0 = if given {
            fixture.adjacency("in.adjacency", &device).require_grad()
        } else {
            Tensor::zeros([1, 1, v, v], &device)
        };
        let a = learner.forward(x.clone(), a0.clone(), None).adjacency;
        fixture.check("out.adjacency", a.clone());
        let cotangent = fixture.adjacency("in.cotangent", &device);
        let grads = (a * cotangent).sum().backward();
        fixture.check("grad.in.x", x.grad(&grads).unwrap());
        if given {
            fixture.check_on_edges(
                "grad.in.adjacency",
                "in.adjacency",
                a0.grad(&grads).unwrap(),
            );
        }
        fixture.check_gradients(learner, &grads);
    }
}

#[test]
fn causal_convolution_and_norms() {
    let device = device();
    for name in [
        "causal_conv_silu",
        "causal_conv_silu_k2",
        "causal_conv_silu_short",
    ] {
        let fixture = Fixture::open(&format!("ops/{name}"));
        let x = fixture.tensor::<4>("in.x", &device).require_grad();
        let weight = fixture.tensor::<3>("param.weight", &device);
        let [d, _, k] = weight.dims();
        let conv = load(
            DepthwiseConv::new(d, k, true, None, &device),
            &fixture.under("param."),
        );
        let out = conv.forward(x.clone(), None).0;
        fixture.check("out.out", out.clone());
        let grads = (out * fixture.tensor("in.cotangent", &device))
            .sum()
            .backward();
        fixture.check("grad.in.x", x.grad(&grads).unwrap());
        fixture.check_gradients(conv, &grads);
    }

    let fixture = Fixture::open("ops/gated_rms_norm");
    let y = fixture.tensor::<4>("in.y", &device).require_grad();
    let z = fixture.tensor::<4>("in.z", &device).require_grad();
    let norm = load(
        GatedRmsNorm::new(y.dims()[3], &device),
        &fixture.under("param."),
    );
    let out = norm.forward(y.clone(), z.clone());
    fixture.check("out.out", out.clone());
    let grads = (out * fixture.tensor("in.cotangent", &device))
        .sum()
        .backward();
    fixture.check("grad.in.y", y.grad(&grads).unwrap());
    fixture.check("grad.in.z", z.grad(&grads).unwrap());
    fixture.check_gradients(norm, &grads);

    let fixture = Fixture::open("ops/prenorm");
    let h = fixture.tensor::<4>("in.h", &device).require_grad();
    let out = rms_norm(h.clone());
    fixture.check("out.out", out.clone());
    let grads = (out * fixture.tensor("in.cotangent", &device))
        .sum()
        .backward();
    fixture.check("grad.in.h", h.grad(&grads).unwrap());
}

#[test]
fn losses_are_those_of_pytorch() {
    let device = device();
    for fixture in Fixture::all("ops") {
        let binary = fixture.name.contains("/bce");
        if !binary && !fixture.name.contains("/cross_entropy") {
            continue;
        }
        let targets: Vec<usize> = fixture.integers["in.target"]
            .iter()
            .map(|&t| t as usize)
            .collect();
        let logits = if binary {
            fixture.tensor::<1>("in.logits", &device).unsqueeze_dim(1)
        } else {
            fixture.tensor::<2>("in.logits", &device)
        }
        .require_grad();
        let smoothing = fixture.config["label_smoothing"].as_f64().unwrap_or(0.0);
        let pos_weight = fixture.config["pos_weight"].as_f64().filter(|_| binary);
        let weights = match pos_weight {
            Some(w) => Some(vec![1.0, w as f32]),
            None => fixture
                .arrays
                .get("in.class_weights")
                .map(|w| w.values.clone()),
        };
        let mut loss = classification_loss(logits.clone(), &targets, weights.as_deref(), smoothing);
        if let Some(w) = pos_weight {
            // Smoothed targets share the weight of the class they came from here, while
            // PyTorch's pos_weight follows the smoothed target: only the plain case compares.
            if smoothing > 0.0 {
                continue;
            }
            let total: f64 = targets.iter().map(|&t| if t == 1 { w } else { 1.0 }).sum();
            loss = loss * (total / targets.len() as f64);
        }
        fixture.check("out.loss", loss.clone());
        let cotangent = fixture.arrays["in.cotangent"].values[0];
        let grads = (loss * cotangent).backward();
        fixture.check("grad.in.logits", logits.grad(&grads).unwrap());
    }
}

#[test]
fn blocks_of_every_kind() {
    let device = device();
    for fixture in Fixture::all("block") {
        let x = fixture.tensor::<4>("in.x", &device).require_grad();
        let [_, v, _, m] = x.dims();
        let block = config_of(&fixture, m, v).block().init(&device);
        let block = load(block, &fixture.under("param."));
        let given = fixture.has("in.adjacency");
        let a0 = if given {
            fixture.adjacency("in.adjacency", &device).require_grad()
        } else {
            Tensor::zeros([1, 1, v, v], &device)
        };
        let out = block.forward(x.clone(), a0.clone(), BlockState::default());
        fixture.check("out.y", out.hidden.clone());
        if fixture.has("out.adjacency") {
            fixture.check("out.adjacency", out.adjacency);
        }
        let cotangent = fixture.tensor("in.cotangent", &device);
        let grads = (out.hidden * cotangent).sum().backward();
        fixture.check("grad.in.x", x.grad(&grads).unwrap());
        if given && fixture.has("grad.in.adjacency") {
            fixture.check_on_edges(
                "grad.in.adjacency",
                "in.adjacency",
                a0.grad(&grads).unwrap(),
            );
        }
        fixture.check_gradients(block, &grads);
    }
}

/// Feeding a block in pieces of any length gives what feeding it whole gives.
#[test]
fn pieces_equal_the_whole() {
    let device = Device::flex();
    for fixture in Fixture::all("block") {
        let x = fixture.tensor::<4>("in.x", &device);
        let [_, v, l, m] = x.dims();
        let block = load(
            config_of(&fixture, m, v).block().init(&device),
            &fixture.under("param."),
        );
        let a0 = if fixture.has("in.adjacency") {
            fixture.adjacency("in.adjacency", &device)
        } else {
            Tensor::zeros([1, 1, v, v], &device)
        };
        let whole = block.forward(x.clone(), a0.clone(), BlockState::default());
        let expected: Vec<f32> = whole.hidden.into_data().iter::<f32>().collect();
        for piece in [1, 3] {
            let mut state = BlockState {
                graph: whole.window.clone(),
                ..BlockState::default()
            };
            let mut parts = Vec::new();
            let mut start = 0;
            while start < l {
                let length = piece.min(l - start);
                let steps = |t: Tensor<4>, axis: usize| {
                    if t.dims()[axis] == 1 {
                        t
                    } else {
                        t.narrow(axis, start, length)
                    }
                };
                let piece = x.clone().narrow(2, start, length);
                let out = block.forward(piece, steps(a0.clone(), 1), state);
                parts.push(out.hidden);
                state = out.state;
                start += length;
            }
            let found: Vec<f32> = Tensor::cat(parts, 2).into_data().iter::<f32>().collect();
            assert_close(&fixture.name, &found, &expected, TOLERANCE);
        }
    }
}
