//! ARFF files.

use std::path::Path;

use super::super::record::Inspection;
use super::super::series;
use super::{Column, Columns, describe};
use crate::Result;
use crate::formats::arff::{self, Kind};

pub(in super::super) fn inspect(path: &Path) -> Result<Inspection> {
    let file = arff::read(path)?;
    if file
        .attributes
        .iter()
        .any(|a| matches!(a.kind, Kind::Relational(_)))
    {
        let relation = file.relation.clone();
        let mut found = series::of_ts(&file.into_ts(path)?);
        found.format = "ARFF of series".into();
        found.fact("relation", relation);
        return Ok(found);
    }
    let mut found = Inspection {
        format: "ARFF".into(),
        ..Default::default()
    };
    found.fact("relation", &file.relation);
    let rows = file.columns.first().map_or(0, arff::Column::len);
    let columns =
        file.attributes
            .iter()
            .zip(file.columns)
            .map(|(attribute, column)| match column {
                arff::Column::Numeric(values) => Column::Numbers(values, None),
                arff::Column::Nominal(codes) => match &attribute.kind {
                    Kind::Nominal(words) => Column::Words(words.clone(), codes),
                    _ => Column::Words(Vec::new(), codes),
                },
                arff::Column::Text(cells) => Column::words(cells.iter().map(Option::as_deref)),
                arff::Column::Relational(rows) => Column::Words(Vec::new(), vec![None; rows.len()]),
            });
    let table = Columns {
        rows,
        columns: columns.collect(),
        names: file.attributes.iter().map(|a| a.name.clone()).collect(),
    };
    describe(&table, &mut found);
    Ok(found)
}
