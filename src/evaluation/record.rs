//! What the report says about a run besides its scores.

use burn::tensor::Device;
use ndarray::Axis;
use tgmamba_graph::Dataset;
use tgmamba_graph::topology::layout_2d;

use super::learned_graphs;
use crate::error::Result;
use crate::models::Classifier;
use crate::report::{GraphFigure, Section};
use crate::run::RunConfig;
use crate::training::data::FoldData;

/// Windows whose learned graphs are averaged for the picture.
const GRAPH_WINDOWS: usize = 32;

fn fact(name: &str, value: impl ToString) -> (String, String) {
    (name.to_string(), value.to_string())
}

/// Data set, protocol, model and environment.
pub fn sections(
    config: &RunConfig,
    dataset: &Dataset,
    data: &FoldData,
    parts: usize,
) -> Vec<Section> {
    let (n, v, l, f) = dataset.x.dim();
    let info = &dataset.info;
    let mut counts = vec![0usize; dataset.classes.len()];
    for &y in &dataset.y {
        counts[y] += 1;
    }
    let classes: Vec<String> = dataset
        .classes
        .iter()
        .zip(counts)
        .map(|(class, n)| format!("{class} ({n})"))
        .collect();
    let mut data_facts = vec![
        fact("name", &info.name),
        fact("title", &info.title),
        fact("windows", n),
        fact("sensors", v),
        fact("time steps", l),
        fact("features", f),
        fact("classes", classes.join(", ")),
        fact("licence", &info.licence),
        fact("citation", &info.citation),
    ];
    data_facts.retain(|(_, value)| !value.is_empty());
    let graph = format!(
        "{}, {} edges, density {:.2}",
        config.graph.kind(),
        data.graph.n_edges(),
        data.graph.density()
    );
    let fold = &data.fold;
    let sizes = format!(
        "{} / {} / {}",
        fold.train.len(),
        fold.validation.len(),
        fold.test.len()
    );
    let selection = format!(
        "best {} on the validation part; the test part is used once, after training",
        config.training.metric
    );
    let protocol = vec![
        fact("split", config.split.method.name()),
        fact("parts (folds × seeds)", parts),
        fact("train / validation / test windows", sizes),
        fact("selection", selection),
        fact("intervals", "95 %, percentile bootstrap over recordings"),
        fact("graph", graph),
    ];
    let model = &config.model;
    let parameters = config.provenance.as_ref().and_then(|p| p.parameters);
    let name_of = |v: serde_json::Result<serde_json::Value>| {
        v.ok()
            .and_then(|v| v.as_str().map(str::to_string))
            .unwrap_or_default()
    };
    let model_facts = vec![
        fact("blocks", model.n_layers),
        fact(
            "width / inner channels / state",
            format!(
                "{} / {} / {}",
                model.d_model,
                model.d_inner(),
                model.d_state
            ),
        ),
        fact(
            "graph convolution",
            name_of(serde_json::to_value(model.conv_type)),
        ),
        fact(
            "state mixing",
            name_of(serde_json::to_value(model.state_mixing)),
        ),
        fact(
            "parameters",
            parameters.map(|p| p.to_string()).unwrap_or_default(),
        ),
    ];
    let mut environment = vec![fact("seed", config.seed), fact("device", &config.device)];
    if let Some(p) = &config.provenance {
        environment.push(fact("version of tgmamba", &p.version));
        environment.push(fact("started", &p.started));
    }
    [
        ("Data set", data_facts),
        ("Protocol", protocol),
        ("Model", model_facts),
        ("Environment", environment),
    ]
    .into_iter()
    .map(|(heading, facts)| Section {
        heading: heading.into(),
        facts,
    })
    .collect()
}

/// The given graph, and the learned one of each block if edges are learned.
pub fn graphs(
    model: &Classifier,
    data: &FoldData,
    config: &RunConfig,
    device: &Device,
) -> Result<Vec<GraphFigure>> {
    let nodes: Vec<String> = data.graph.nodes().iter().map(|n| n.to_string()).collect();
    let v = nodes.len();
    // Positions in three dimensions are those of electrodes on a head here.
    let head = data
        .graph
        .positions()
        .is_some_and(|p| p.len_of(Axis(1)) == 3);
    let figure = |name: String, weight: &dyn Fn(usize, usize) -> f32| GraphFigure {
        name,
        nodes: nodes.clone(),
        layout: layout_2d(&data.graph),
        adjacency: (0..v)
            .map(|target| (0..v).map(|source| weight(target, source)).collect())
            .collect(),
        head,
    };
    let given = data.graph.adjacency();
    let mut figures = vec![figure("given".into(), &|t, s| given[[t, s]])];
    if config.model.block().edge_learner.is_active() {
        let count = data.fold.test.len().min(GRAPH_WINDOWS);
        let learned = learned_graphs(model, data, &data.fold.test[..count], device)?;
        for (i, a) in learned.into_iter().enumerate() {
            let name = format!("learned, block {}", i + 1);
            figures.push(figure(name, &|t, s| a[t * v + s]));
        }
    }
    Ok(figures)
}
