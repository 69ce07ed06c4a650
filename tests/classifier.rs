//! Whole classifiers against the independent PyTorch model: logits, gradients, streaming, weight
//! files, and the names in them.

mod common;

use std::path::PathBuf;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use common::{assert_close, fixtures, gradients};
use tgmamba::evaluation::arrays::model_config;
use tgmamba::models::{Classifier, ModelConfig, SeqPool, VertexPool, weights};
use tgmamba::nn::state_dict;
use tgmamba_graph::formats::npy::Npz;

struct Case {
    name: String,
    folder: PathBuf,
    config: ModelConfig,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases: Vec<Self> = std::fs::read_dir(fixtures().join("classifier"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|folder| Self {
                name: folder.file_name().unwrap().to_string_lossy().into_owned(),
                config: model_config(&folder.join("config.json")).unwrap(),
                folder,
            })
            .collect();
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(cases.len() >= 10);
        cases
    }

    fn array<const D: usize>(&self, file: &str, name: &str, device: &Device) -> Option<Tensor<D>> {
        let path = self.folder.join(file);
        let mut npz = Npz::open(&path).unwrap();
        if !npz.contains(name) {
            return None;
        }
        let array = npz.read(name).unwrap().into_f32(&path, name).unwrap();
        let values: Vec<f32> = array.iter().copied().collect();
        let data = TensorData::new(values, array.shape().to_vec());
        Some(Tensor::from_data(data, device))
    }

    fn model(&self, device: &Device) -> Classifier {
        let model = self.config.init(device).unwrap();
        weights::load_into(model, &self.folder.join("weights.safetensors")).unwrap()
    }

    fn adjacency(&self, device: &Device) -> Tensor<4> {
        let v = self.config.num_vertices;
        let path = self.folder.join("input.npz");
        let mut npz = Npz::open(&path).unwrap();
        if !npz.contains("adjacency") {
            return Tensor::zeros([1, 1, v, v], device);
        }
        let shape = npz.read("adjacency").unwrap().shape().to_vec();
        if shape.len() == 2 {
            let a: Tensor<2> = self.array("input.npz", "adjacency", device).unwrap();
            a.unsqueeze()
        } else {
            let a: Tensor<3> = self.array("input.npz", "adjacency", device).unwrap();
            a.unsqueeze_dim(1)
        }
    }

    fn input(&self, device: &Device) -> Tensor<4> {
        self.array("input.npz", "x", device).unwrap()
    }

    fn expected(&self) -> Vec<f32> {
        host(
            self.array::<2>("expected.npz", "logits", &Device::flex())
                .unwrap(),
        )
    }
}

fn host(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn logits_are_those_of_the_reference() {
    let device = Device::flex();
    for case in Case::all() {
        let out = case
            .model(&device)
            .forward(case.input(&device), case.adjacency(&device));
        assert_close(&case.name, &host(out.logits), &case.expected(), 1e-5);
    }
}

#[test]
fn gradients_are_those_of_the_reference() {
    let device = Device::flex().autodiff();
    let mut compared = 0;
    for case in Case::all() {
        let path = case.folder.join("grads.safetensors");
        if !path.exists() {
            continue;
        }
        let expected = weights::load(&path).unwrap();
        let mut quiet = case.config.clone();
        quiet.dropout = 0.0;
        let weights_file = case.folder.join("weights.safetensors");
        let model = weights::load_into(quiet.init(&device).unwrap(), &weights_file).unwrap();
        let labels = Npz::open(case.folder.join("input.npz"))
            .unwrap()
            .read("labels")
            .unwrap();
        let labels = labels.into_i64(&path, "labels").unwrap();
        let labels: Vec<usize> = labels.iter().map(|&y| y as usize).collect();
        let out = model.forward(case.input(&device), case.adjacency(&device));
        let loss = tgmamba::training::loss::classification_loss(out.logits, &labels, None, 0.0);
        let grads = loss.backward();
        let found = gradients(model, &grads);
        for (name, expected) in expected
            .iter()
            .filter(|(name, _)| !name.ends_with("K_proj.bias"))
        {
            let found = found
                .get(name)
                .unwrap_or_else(|| panic!("no parameter {name}"));
            let what = format!("{} grad {name}", case.name);
            assert_close(&what, &found.values, &expected.values, 1e-4);
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared} gradients compared");
}

#[test]
fn lightning_checkpoints_load() {
    let device = Device::flex();
    let cases = Case::all();
    let case = cases.iter().find(|c| c.name == "lightning").unwrap();
    let model = case.config.init(&device).unwrap();
    let model = weights::load_into(model, &case.folder.join("model.ckpt")).unwrap();
    let out = model.forward(case.input(&device), case.adjacency(&device));
    assert_close("lightning", &host(out.logits), &case.expected(), 1e-5);
}

#[test]
fn a_stream_of_steps_ends_where_the_window_does() {
    let device = Device::flex();
    for case in Case::all() {
        for pool in [SeqPool::Last, SeqPool::Mean, SeqPool::Max] {
            let mut config = case.config.clone();
            config.seq_pool_type = pool;
            let model = config.init(&device).unwrap();
            let model =
                weights::load_into(model, &case.folder.join("weights.safetensors")).unwrap();
            let (x, a) = (case.input(&device), case.adjacency(&device));
            let expected = host(model.forward(x.clone(), a.clone()).logits);
            let l = x.dims()[2];
            for piece in [1, 4] {
                let calibration = Some((x.clone(), a.clone()));
                let mut state = model.stream(calibration);
                let mut logits = None;
                let mut start = 0;
                while start < l {
                    let length = piece.min(l - start);
                    let (now, next) =
                        model.step(x.clone().narrow(2, start, length), a.clone(), state);
                    (logits, state) = (Some(now), next);
                    start += length;
                }
                assert_eq!(state.steps(), l);
                let what = format!("{} {pool:?} by {piece}", case.name);
                assert_close(&what, &host(logits.unwrap()), &expected, 1e-5);
            }
        }
    }
}

#[test]
fn saved_weights_have_the_names_and_bits_they_came_with() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    for case in Case::all() {
        let given = weights::load(&case.folder.join("weights.safetensors")).unwrap();
        let path = folder.path().join(format!("{}.safetensors", case.name));
        weights::save(&state_dict::collect(&case.model(&device)), &path).unwrap();
        let saved = weights::load(&path).unwrap();
        assert_eq!(
            saved.keys().collect::<Vec<_>>(),
            given.keys().collect::<Vec<_>>(),
            "{}",
            case.name
        );
        for (name, tensor) in given {
            assert_eq!(saved[&name].values, tensor.values, "{} {name}", case.name);
        }
    }
}

#[test]
fn weights_of_another_model_are_refused_by_name() {
    let device = Device::flex();
    let cases = Case::all();
    let case = cases.iter().find(|c| c.name == "graphconv").unwrap();
    let path = case.folder.join("weights.safetensors");
    let mut config = case.config.clone();
    config.d_state += 1;
    let message = weights::load_into(config.init(&device).unwrap(), &path)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("A_log") && message.contains("weights of another model"),
        "{message}"
    );

    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let cut = folder.path().join("cut.safetensors");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let message = weights::load(&cut).unwrap_err().to_string();
    assert!(
        message.contains("cut.safetensors") && message.contains("not a whole"),
        "{message}"
    );
}

/// Blocks of the Mamba family in place of TGMamba: a stream ends where the window does, no sensor
/// sees another, and every parameter is learned.
#[test]
fn other_mixers_take_every_sensor_by_itself() {
    let device = Device::flex();
    for kind in ["mamba", "mamba2"] {
        let mut config = ModelConfig::new(3, 4, 5);
        (config.d_model, config.d_state, config.n_layers) = (12, 6, 2);
        config.mixer = serde_json::from_value(serde_json::json!(kind)).unwrap();
        config.vertex_pool_type = VertexPool::Max;
        let model = config.init(&device).unwrap();
        let x = Tensor::<4>::random([2, 5, 9, 3], Distribution::Normal(0.0, 1.0), &device);
        let a = Tensor::<4>::ones([1, 1, 5, 5], &device);
        let whole = host(model.forward(x.clone(), a.clone()).logits);
        let mut state = model.stream(None);
        let mut logits = Vec::new();
        for (start, length) in [(0, 1), (1, 4), (5, 1), (6, 3)] {
            let piece = x.clone().narrow(2, start, length);
            let (out, next) = model.step(piece, a.clone(), state);
            (logits, state) = (host(out), next);
        }
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(&whole, &logits), "{kind}: {whole:?} {logits:?}");

        let none = Tensor::<4>::zeros([1, 1, 5, 5], &device);
        assert_eq!(whole, host(model.forward(x.clone(), none).logits), "{kind}");

        let tracked = device.clone().autodiff();
        let model = config.init(&tracked).unwrap();
        let on = |t: Tensor<4>| Tensor::<4>::from_data(t.into_data(), &tracked);
        let loss = model.forward(on(x), on(a)).logits.square().sum();
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        assert_eq!(grads.len(), state_dict::collect(&model).len(), "{kind}");
    }
}
