//! The JSON sets of PyTorch Geometric Temporal (Rozemberczki et al. 2021).

use std::path::Path;

use super::{SeriesSet, last_tenth, take};
use crate::datasets::find;
use crate::formats::pygt::{TemporalJson, parse};
use crate::series::{Feature, Positions, Scaling, Series, Step, TimeAxis, TimeReport, stamp_of};
use crate::{Error, Result, fetch};

/// What differs between the sets.
struct Set {
    name: &'static str,
    file: &'static str,
    feature: Feature,
    /// (year, month, day) of the first step.
    start: (i16, i8, i8),
    step: i64,
}

fn load(data_dir: Option<&Path>, set: Set) -> Result<(Series, TemporalJson)> {
    let folder = set.name.replace('-', "_");
    let folder = find(data_dir, &[&folder, set.name], set.file)?;
    let path = folder.join(set.file);
    let mut sources = Vec::new();
    let file = parse(&take(&path, &mut sources)?, &path)?;
    if file.features.len() != 1 {
        return Err(Error::file(
            &path,
            "nodes",
            format!("has the inputs {}, not one", file.features.join(", ")),
            "fetch the original file again",
        ));
    }
    let info = fetch::info(set.name).unwrap_or_default();
    let mut series = Series::new(
        info,
        file.nodes.clone(),
        vec![set.feature],
        file.values.clone(),
    )?
    .with_graph(file.graph.clone())?;
    let (year, month, day) = set.start;
    let start = stamp_of(year, month, day, 0, 0, 0).unwrap_or_default();
    series.time = Some(TimeAxis::regular(
        start,
        Step::Seconds(set.step),
        series.len(),
    )?);
    series.sources = sources;
    Ok((series, file))
}

/// Weekly cases of 20 Hungarian counties. The file holds, as a comparison with UCI 580 shows, the
/// **change** from week to week, standardised over the whole series; its first week is therefore the
/// second of the counts, that of 10 January 2005. Nothing is scaled again.
pub(super) fn chickenpox(data_dir: Option<&Path>) -> Result<SeriesSet> {
    let (series, _) = load(
        data_dir,
        Set {
            name: "chickenpox",
            file: "chickenpox.json",
            feature: Feature::new("cases", "standard deviations of the weekly change"),
            start: (2005, 1, 10),
            step: 7 * 86_400,
        },
    )?;
    let protocol = last_tenth(
        4,
        "cases",
        Scaling::None,
        "PyTorch Geometric Temporal: 4 weeks in, 1 out, last tenth of the windows tests; the file \
         is standardised over all weeks, test included",
    );
    Ok(SeriesSet {
        series,
        protocol,
        clock: TimeReport::default(),
    })
}

/// Daily cases of 129 English regions and how many people moved between them each day.
pub(super) fn england_covid(data_dir: Option<&Path>) -> Result<SeriesSet> {
    let (series, _) = load(
        data_dir,
        Set {
            name: "england-covid",
            file: "england_covid.json",
            feature: Feature::new("cases", "cases a day"),
            start: (2020, 3, 13),
            step: 86_400,
        },
    )?;
    let protocol = last_tenth(
        8,
        "cases",
        Scaling::ZscoreNode,
        "PyTorch Geometric Temporal: 8 days in, 1 out, standardised per region; it takes the \
         scale from the whole series",
    );
    Ok(SeriesSet {
        series,
        protocol,
        clock: TimeReport::default(),
    })
}

/// Hourly passengers boarding at 675 bus stops.
pub(super) fn montevideo_bus(data_dir: Option<&Path>) -> Result<SeriesSet> {
    let (mut series, file) = load(
        data_dir,
        Set {
            name: "montevideo-bus",
            file: "montevideo_bus.json",
            feature: Feature::new("passengers", "passengers an hour"),
            start: (2020, 10, 1),
            step: 3600,
        },
    )?;
    if let Some(metres) = file.lon_lat {
        // The file calls UTM metres lon and lat.
        series = series.with_positions(Positions::Metres(metres))?;
    }
    let protocol = last_tenth(
        4,
        "passengers",
        Scaling::ZscoreNode,
        "PyTorch Geometric Temporal: 4 hours in, 1 out, standardised per stop; it takes the scale \
         from the whole series",
    );
    Ok(SeriesSet {
        series,
        protocol,
        clock: TimeReport::default(),
    })
}
