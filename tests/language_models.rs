//! Language models of every published format against transformers and independent PyTorch code.

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{Fixture, fixtures};
use tgmamba::lm::checkpoint::convert::{self, Weights};
use tgmamba::lm::checkpoint::{self, Storage, source};
use tgmamba::lm::generate::{self, Options};
use tgmamba::lm::sampling::Sampling;
use tgmamba::models::LanguageModel;
use tgmamba::models::language_model::{LayerState, ModelState};

/// Largest deviation of a logit from what the other program computes.
const LOGITS: f64 = 1e-4;

/// Every model, and how its matrices are stored.
const MODELS: [(&str, Storage); 10] = [
    ("hf-mamba", Storage::F32),
    ("hf-mamba-bin-f16", Storage::F16),
    ("hf-mamba2", Storage::F32),
    ("hf-mamba2-sharded-bf16", Storage::Bf16),
    ("ss-mamba", Storage::F32),
    ("ss-mamba-mlp-f16", Storage::F16),
    ("ss-mamba2-groups-bf16", Storage::Bf16),
    ("ss-mamba2-odd", Storage::F32),
    ("ss-mamba2-no-norm", Storage::F32),
    ("codestral-bf16", Storage::Bf16),
];

fn folder(name: &str) -> PathBuf {
    fixtures().join("language_models").join(name)
}

fn model(name: &str) -> LanguageModel {
    checkpoint::load(&folder(name), None, &Device::flex())
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .model
}

struct Expected {
    fixture: Fixture,
    /// Token ids of each prompt.
    prompts: Vec<Vec<u32>>,
    greedy: Vec<Vec<u32>>,
}

fn expected(name: &str) -> Expected {
    let fixture = Fixture::open(&format!("language_models/{name}/expected"));
    let rows = |of: &str| -> Vec<Vec<u32>> {
        let values = &fixture.integers[of];
        let rows = values.chunks(values.len() / 3);
        rows.map(|row| row.iter().map(|id| *id as u32).collect())
            .collect()
    };
    Expected {
        prompts: rows("ids"),
        greedy: rows("greedy"),
        fixture,
    }
}

fn ids(rows: &[Vec<u32>]) -> Tensor<2, Int> {
    let flat: Vec<i32> = rows.iter().flatten().map(|id| *id as i32).collect();
    let shape = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(flat, shape), &Device::flex())
}

fn values<const D: usize>(of: Tensor<D>) -> Vec<f32> {
    of.into_data().iter::<f32>().collect()
}

fn error(found: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let pairs = found.iter().zip(wanted);
    pairs
        .map(|(f, w)| f64::from((f - w).abs()))
        .fold(0.0, f64::max)
}

fn parts(state: &LayerState) -> (Vec<f32>, Vec<f32>) {
    match state {
        LayerState::Mamba(s) => (values(s.conv.clone()), values(s.ssm.clone())),
        LayerState::Mamba2(s) => (values(s.conv.clone()), values(s.ssm.clone())),
    }
}

fn greedy(count: usize, vocabulary: usize) -> Options {
    Options {
        sampling: Sampling::default(),
        seed: 0,
        max_new_tokens: count,
        eos: vec![],
        vocabulary,
        launch: false,
    }
}

fn continued(model: &LanguageModel, prompts: &[Vec<u32>], options: &Options) -> Vec<Vec<u32>> {
    generate::generate(model, &Device::flex(), prompts, options, |_, _| Ok(true)).unwrap()
}

#[test]
fn logits_states_and_greedy_tokens_are_those_of_the_other_programs() {
    for (name, storage) in MODELS {
        let loaded = checkpoint::load(&folder(name), None, &Device::flex()).unwrap();
        assert_eq!(loaded.storage, storage, "{name}");
        let (model, expected) = (loaded.model, expected(name));
        let (logits, state) = model.forward(ids(&expected.prompts), None, None, false);
        let wanted = &expected.fixture.arrays["logits"];
        assert_eq!(logits.dims().to_vec(), wanted.shape, "{name}");
        let found = error(&values(logits), &wanted.values);
        let mut state_error = 0.0f64;
        for (i, layer) in state.layers.iter().enumerate() {
            let (conv, ssm) = parts(layer);
            for (what, found) in [("conv", conv), ("ssm", ssm)] {
                let wanted = &expected.fixture.arrays[&format!("{what}.{i}")];
                let first = &found[..found.len() / 3];
                state_error = state_error.max(error(first, &wanted.values));
            }
        }
        println!("{name:24} {storage:>4}  logits {found:.1e}  states {state_error:.1e}");
        assert!(found <= LOGITS, "{name}: logits off by {found:e}");
        assert!(
            state_error <= LOGITS,
            "{name}: states off by {state_error:e}"
        );
        let options = greedy(100, model.config().padded_vocabulary());
        let tokens = continued(&model, &expected.prompts, &options);
        assert_eq!(tokens, expected.greedy, "{name}: cached");
    }
}

#[test]
fn a_continuation_without_cache_is_the_same() {
    for (name, _) in MODELS {
        let (model, expected) = (model(name), expected(name));
        // What the model says of prompt and continuation at once.
        let whole: Vec<Vec<u32>> = expected
            .prompts
            .iter()
            .zip(&expected.greedy)
            .map(|(prompt, greedy)| [&prompt[..], greedy].concat())
            .collect();
        let (logits, _) = model.forward(ids(&whole), None, None, false);
        let [rows, l, width] = logits.dims();
        let logits = values(logits);
        for (row, greedy) in expected.greedy.iter().enumerate().take(rows) {
            let start = expected.prompts[row].len() - 1;
            for (i, token) in greedy.iter().enumerate() {
                let at = (row * l + start + i) * width;
                let logits = &logits[at..at + width];
                let best = (0..width).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
                assert_eq!(best, Some(*token as usize), "{name}, row {row}, token {i}");
            }
        }
    }
}

#[test]
fn a_text_in_pieces_is_the_text_at_once() {
    for (name, _) in MODELS {
        let (model, expected) = (model(name), expected(name));
        let all = ids(&expected.prompts);
        let [_, l] = all.dims();
        let (whole, end) = model.forward(all.clone(), None, None, false);
        let mut state: Option<ModelState> = None;
        let mut pieces = Vec::new();
        for (start, len) in [(0, 4), (4, 1), (5, l - 5)] {
            let piece = all.clone().narrow(1, start, len);
            let (logits, next) = model.forward(piece, state, None, false);
            pieces.push(logits);
            state = Some(next);
        }
        let found = error(&values(Tensor::cat(pieces, 1)), &values(whole));
        assert!(found <= LOGITS, "{name}: {found:e}");
        let state = state.unwrap();
        for (a, b) in state.layers.iter().zip(&end.layers) {
            let (a, b) = (parts(a), parts(b));
            assert!(
                error(&a.0, &b.0) <= 2e-5 && error(&a.1, &b.1) <= 2e-5,
                "{name}"
            );
        }
    }
}

#[test]
fn padding_on_the_left_changes_nothing() {
    for (name, _) in MODELS {
        let (model, expected) = (model(name), expected(name));
        let vocabulary = model.config().padded_vocabulary();
        let mut prompts = expected.prompts.clone();
        prompts[1].truncate(2);
        prompts[2].truncate(7);
        let options = greedy(30, vocabulary);
        let batch = continued(&model, &prompts, &options);
        let sampled = Options {
            sampling: Sampling {
                top_k: 0,
                temperature: 0.7,
                repetition_penalty: 1.1,
                ..Sampling::default()
            },
            seed: 4,
            ..greedy(30, vocabulary)
        };
        let drawn = continued(&model, &prompts, &sampled);
        for (row, prompt) in prompts.iter().enumerate() {
            let alone = continued(&model, std::slice::from_ref(prompt), &options);
            assert_eq!(alone[0], batch[row], "{name}, row {row}");
            let alone = continued(&model, std::slice::from_ref(prompt), &sampled);
            assert_eq!(alone[0], drawn[row], "{name}, row {row}, sampled");
        }
        assert_eq!(batch[0], expected.greedy[0][..30], "{name}");
    }
}

#[test]
fn a_text_ends_at_its_own_last_token() {
    let (model, expected) = (model("hf-mamba"), expected("hf-mamba"));
    let last = expected.greedy[0][20];
    let options = Options {
        eos: vec![last],
        ..greedy(40, model.config().padded_vocabulary())
    };
    let found = continued(&model, &expected.prompts, &options);
    for (found, greedy) in found.iter().zip(&expected.greedy) {
        let end = greedy[..40].iter().position(|id| *id == last);
        assert_eq!(found[..], greedy[..end.map_or(40, |i| i + 1)]);
    }
}

#[test]
fn prompts_that_cannot_be_continued_are_refused() {
    let model = model("hf-mamba");
    let run = |prompts: &[Vec<u32>], options: &Options| {
        generate::generate(&model, &Device::flex(), prompts, options, |_, _| Ok(true))
            .unwrap_err()
            .to_string()
    };
    let good = greedy(3, 61);
    assert!(run(&[vec![1], vec![]], &good).contains("prompt 2 has no token"));
    assert!(run(&[vec![61]], &good).contains("token 61 is beyond"));
    assert!(run(&[], &good).contains("there is none"));
    assert!(run(&[vec![1]], &greedy(0, 61)).contains("--max-new-tokens"));
    assert!(run(&[vec![1]], &greedy(3, 62)).contains("model has 61 tokens"));
}

/// Name, shape and bytes of every tensor of a folder.
fn tensors(folder: &Path) -> Vec<(String, Vec<usize>, Storage, Vec<u8>)> {
    let source = source::open(folder).unwrap();
    let list = source.tensors.iter();
    list.map(|(name, t)| {
        (
            name.clone(),
            t.shape.clone(),
            t.storage,
            t.bytes().unwrap().to_vec(),
        )
    })
    .collect()
}

#[test]
fn conversions_there_and_back_keep_every_bit() {
    use checkpoint::Format::{HuggingFace, StateSpaces};

    let temporary = tempfile::tempdir().unwrap();
    for name in [
        "hf-mamba",
        "hf-mamba-bin-f16",
        "hf-mamba2-sharded-bf16",
        "ss-mamba",
        "codestral-bf16",
    ] {
        let start = tensors(&folder(name));
        let out = |format: &str| temporary.path().join(format!("{name}-{format}"));
        let to = |from: PathBuf, format: &str, as_format, weights| {
            convert::convert(&from, &out(format), as_format, weights, None).unwrap()
        };
        let report = to(folder(name), "ss", StateSpaces, Weights::Bin);
        assert!(out("ss").join("pytorch_model.bin").is_file());
        assert!(
            report
                .tensors
                .iter()
                .all(|t| t.from_storage == t.to_storage)
        );
        to(out("ss"), "hf", HuggingFace, Weights::Safetensors);
        to(out("hf"), "ss2", StateSpaces, Weights::Safetensors);
        assert_eq!(tensors(&out("ss")), tensors(&out("ss2")), "{name}");
        let without_head = |list: Vec<(String, Vec<usize>, Storage, Vec<u8>)>| {
            let tied = model(name).config().tie_embeddings;
            let keep = move |t: &(String, Vec<usize>, Storage, Vec<u8>)| {
                !(tied && t.0 == checkpoint::HEAD)
            };
            list.into_iter().filter(keep).collect::<Vec<_>>()
        };
        assert_eq!(
            without_head(tensors(&out("ss"))),
            without_head(start),
            "{name}"
        );
        // The converted model is the model.
        let expected = expected(name);
        for format in ["ss", "hf"] {
            let model = checkpoint::load(&out(format), None, &Device::flex())
                .unwrap()
                .model;
            let options = greedy(20, model.config().padded_vocabulary());
            let tokens = continued(&model, &expected.prompts, &options);
            assert_eq!(tokens[1], expected.greedy[1][..20], "{name} as {format}");
        }
        let config = std::fs::read_to_string(out("hf").join("config.json")).unwrap();
        assert!(config.contains("ForCausalLM"), "{config}");
    }
}

#[test]
fn what_a_format_cannot_say_is_refused() {
    use checkpoint::Format::HuggingFace;

    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("out");
    for (name, what) in [
        ("ss-mamba-mlp-f16", "MLP"),
        ("ss-mamba2-groups-bf16", "D_has_hdim"),
        ("ss-mamba2-odd", "norm_before_gate"),
        ("ss-mamba2-no-norm", "rmsnorm"),
    ] {
        let e = convert::convert(&folder(name), &out, HuggingFace, Weights::Safetensors, None)
            .unwrap_err();
        assert!(e.to_string().contains(what), "{name}: {e}");
        assert!(!out.exists());
    }
    convert::convert(
        &folder("hf-mamba"),
        &out,
        HuggingFace,
        Weights::Safetensors,
        None,
    )
    .unwrap();
    let e = convert::convert(
        &folder("hf-mamba"),
        &out,
        HuggingFace,
        Weights::Safetensors,
        None,
    )
    .unwrap_err();
    assert!(e.to_string().contains("never overwritten"), "{e}");
}

#[test]
fn another_storage_rounds_once() {
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("bf16");
    let format = checkpoint::Format::HuggingFace;
    convert::convert(
        &folder("hf-mamba"),
        &out,
        format,
        Weights::Bin,
        Some(Storage::Bf16),
    )
    .unwrap();
    for ((name, shape, _, wide), (_, _, storage, half)) in
        tensors(&folder("hf-mamba")).iter().zip(tensors(&out))
    {
        assert_eq!(storage, Storage::Bf16);
        assert_eq!(half.len(), shape.iter().product::<usize>() * 2, "{name}");
        for (wide, half) in wide.as_chunks::<4>().0.iter().zip(half.as_chunks::<2>().0) {
            let wanted = half::bf16::from_f32(f32::from_le_bytes(*wide));
            assert_eq!(wanted.to_le_bytes(), *half);
        }
    }
    // Rounded on the way in, the matrices are the same.
    let (a, b) = (
        checkpoint::load(&folder("hf-mamba"), Some(Storage::Bf16), &Device::flex()).unwrap(),
        checkpoint::load(&out, None, &Device::flex()).unwrap(),
    );
    let weight = |m: &LanguageModel| m.backbone.embedding.weight.val().into_data();
    assert_eq!(weight(&a.model), weight(&b.model));
}
