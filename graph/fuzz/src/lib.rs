//! What several targets share.

use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use arrow::array::RecordBatch;
use tgmamba_graph::formats::biosignal::{
    Breaks, MixedRates, OpenOptions, RecordingOptions, SignalFile, Source,
};
use tgmamba_graph::formats::panel::Long;

static ONCE: Once = Once::new();

/// Lets panics inside other crates unwind, so that our readers can turn them into errors.
///
/// libFuzzer's hook ends the program at any panic. Panics in our own code still do, and so do those
/// that no reader catches, as they reach the target's own guard.
pub fn let_foreign_panics_pass() {
    ONCE.call_once(|| {
        let ours = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let file = info.location().map_or("", |l| l.file());
            if !file.contains("/registry/src/") {
                ours(info);
            }
        }));
    });
}

/// Everything accepted that can be.
pub const LENIENT: OpenOptions = OpenOptions {
    accept_incomplete: true,
    accept_damaged_annotations: true,
};

/// Reads all of a file, as strictly and as leniently as may be.
pub fn use_signals<S: Source>(file: &SignalFile<S>) {
    let channels: Vec<usize> = (0..file.channels.len()).collect();
    for part in &file.segments {
        let _ = file.read(&channels, part);
    }
    let _ = file.recordings(&Default::default());
    for mixed_rates in [MixedRates::MostCommon, MixedRates::Resample] {
        let _ = file.recordings(&RecordingOptions {
            mixed_rates,
            breaks: Breaks::Split,
            ..Default::default()
        });
    }
}

/// The first columns of a table as those of a long one.
pub fn long(table: &RecordBatch) -> Long {
    let schema = table.schema();
    let name = |i: usize| {
        schema
            .fields()
            .get(i)
            .map_or_else(String::new, |f| f.name().clone())
    };
    Long {
        time: name(0),
        node: name(1),
        values: (2..schema.fields().len().min(4)).map(name).collect(),
    }
}
