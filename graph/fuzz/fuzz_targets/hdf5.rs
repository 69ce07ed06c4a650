#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tgmamba_graph::formats::clip::Clip;
use tgmamba_graph::formats::dreem::Night;
use tgmamba_graph::formats::hdf5::Hdf5;

fuzz_target!(|data: &[u8]| {
    tgmamba_graph_fuzz::let_foreign_panics_pass();
    let path = Path::new("fuzz");
    let Ok(file) = Hdf5::parse(data, path) else {
        return;
    };
    for dataset in file.datasets().unwrap_or_default().iter().take(50) {
        let _ = file.read(&dataset.name);
        let _ = file.read_f32(&dataset.name, Some(0..1));
        for name in file.attribute_names(&dataset.name).unwrap_or_default() {
            let _ = file.attribute(&dataset.name, &name);
        }
    }
    let _ = Clip::parse(data, path);
    if let Ok(night) = Night::parse(data, path) {
        for channel in night.channels.iter().take(10) {
            let _ = night.read(&channel.name);
        }
    }
});
