//! Flags that stand for fields of the configuration: `--d-model 64` is `model.d_model = 64`.

mod data;
mod forecast;
mod model;
mod training;

use clap::Args;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::run::config::{Precision, not_finite, set};
use data::DataFlags;
use forecast::ForecastFlags;
use model::ModelFlags;
use training::TrainingFlags;

/// A field of the configuration and the value a flag gives it.
type Override = (&'static str, Option<Value>);

/// The run as a whole.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Run")]
pub struct RunFlags {
    /// Seed of weights, order, dropout and augmentation [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Repeat with n seeds, seed, seed + 1, ... [default: 1]
    #[arg(long, value_name = "N")]
    seeds: Option<usize>,
    /// cpu, cuda, cuda:N or wgpu [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Matrix products on a GPU: exact (f32 in full precision, the same bits in every run) or fast
    /// (TF32 tensor cores on NVIDIA GPUs, relative errors of about 1e-3) [default: exact]
    #[arg(
        long,
        value_enum,
        value_name = "PRECISION",
        hide_possible_values = true
    )]
    precision: Option<Precision>,
    /// Any field of the configuration, such as training.augment.noise=0.1; the value is TOML
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
}

/// All flags that change the configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigFlags {
    #[command(flatten)]
    pub data: DataFlags,
    #[command(flatten)]
    pub forecast: ForecastFlags,
    #[command(flatten)]
    pub model: ModelFlags,
    #[command(flatten)]
    pub training: TrainingFlags,
    #[command(flatten)]
    pub run: RunFlags,
}

fn value<T: serde::Serialize>(flag: &Option<T>) -> Option<Value> {
    let value = flag.as_ref().and_then(|v| serde_json::to_value(v).ok())?;
    // JSON has no NaN and no infinity; as text they are refused where a number is wanted.
    Some(match value {
        Value::Null => json!("not a finite number"),
        value => value,
    })
}

impl ConfigFlags {
    /// The flags as a partial configuration.
    ///
    /// # Errors
    /// A `--set` without a field or with a value that is no TOML.
    pub fn to_value(&self) -> Result<Value> {
        let run = vec![
            ("seed", value(&self.run.seed)),
            ("seeds", value(&self.run.seeds)),
            ("device", value(&self.run.device)),
            ("precision", value(&self.run.precision)),
        ];
        let groups = [
            self.data.overrides(),
            self.forecast.overrides(),
            self.model.overrides(),
            self.training.overrides(),
            run,
        ];
        let mut config = json!({});
        for (path, given) in groups.into_iter().flatten() {
            if let Some(given) = given {
                set(&mut config, path, given);
            }
        }
        for setting in &self.run.set {
            let (path, given) = parse_setting(setting)?;
            set(&mut config, &path, given);
        }
        Ok(config)
    }

    /// Names of the flags that are set, other than those that a run which goes on may change: the
    /// device, and whether its steps are launched.
    pub fn given(&self) -> Result<Vec<String>> {
        let mut config = self.to_value()?;
        if let Some(fields) = config.as_object_mut() {
            fields.remove("device");
            let training = fields.get_mut("training").and_then(Value::as_object_mut);
            if let Some(training) = training {
                training.remove("launch");
                if training.is_empty() {
                    fields.remove("training");
                }
            }
        }
        let names = config.as_object().map(|o| o.keys().cloned().collect());
        Ok(names.unwrap_or_default())
    }
}

/// `a.b=VALUE`, where VALUE is TOML; a bare word counts as text.
fn parse_setting(setting: &str) -> Result<(String, Value)> {
    let wrong =
        |problem: String| Error::config("--set", problem, "write --set training.augment.noise=0.1");
    let (path, text) = setting
        .split_once('=')
        .ok_or_else(|| wrong(format!("\"{setting}\" has no =")))?;
    let path = path.trim();
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return Err(wrong(format!("\"{setting}\" names no field")));
    }
    let table = toml::from_str::<toml::Table>(&format!("value = {text}"));
    let given = match table {
        Ok(table) => {
            let given = serde_json::to_value(&table["value"]).map_err(|e| wrong(e.to_string()))?;
            if not_finite(&given, path).is_some() {
                return Err(wrong(format!("\"{setting}\" is not a finite number")));
            }
            given
        }
        Err(_)
            if text
                .chars()
                .all(|c| c.is_alphanumeric() || "-_./".contains(c)) =>
        {
            json!(text)
        }
        Err(e) => return Err(wrong(format!("{text}: {e}"))),
    };
    Ok((path.to_string(), given))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn settings_are_toml_or_words() {
        let parse = |s| parse_setting(s).unwrap();
        assert_eq!(parse("a.b=0.5"), ("a.b".into(), json!(0.5)));
        assert_eq!(parse("a=[1, 2]"), ("a".into(), json!([1, 2])));
        assert_eq!(parse("a=stft"), ("a".into(), json!("stft")));
        for wrong in ["a", "=1", "a..b=1", "a={"] {
            assert!(parse_setting(wrong).is_err(), "{wrong}");
        }
    }
    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        flags: ConfigFlags,
    }

    #[test]
    fn data_sets_have_flags() {
        let parse = |args: &[&str]| Flags::try_parse_from([&["train"], args].concat());
        let args = "--dataset tusz --task classification --channels Fz,T3 --split-file parts.csv \
                    --accept missing-channels,breaks";
        let args: Vec<&str> = args.split_whitespace().collect();
        assert_eq!(
            parse(&args).unwrap().flags.to_value().unwrap(),
            json!({"dataset": {
                "name": "tusz", "task": "classification", "channels": ["Fz", "T3"],
                "split_file": "parts.csv", "accept": ["missing-channels", "breaks"],
            }})
        );
        let args = "--dataset largest-sd --years 2018,2019 --clock keep-gaps";
        let args: Vec<&str> = args.split_whitespace().collect();
        assert_eq!(
            parse(&args).unwrap().flags.to_value().unwrap(),
            json!({"dataset": {
                "name": "largest-sd", "years": [2018, 2019],
                "clock": {"order": "error", "duplicates": "error", "gaps": "keep"},
            }})
        );
        let message = |args: &[&str]| parse(args).map(|_| ()).unwrap_err().to_string();
        assert!(message(&["--clock", "any"]).contains("strict, keep-gaps, mend"));
        let text = message(&["--accept", "missing-chanels"]);
        assert!(text.contains("did you mean \"missing-channels\""), "{text}");
        assert!(message(&["--task", "both"]).contains("detection, classification"));
    }

    #[test]
    fn precision_is_a_flag() {
        let parse = |args: &[&str]| Flags::try_parse_from([&["train"], args].concat());
        let value = |args| parse(args).map(|f| f.flags.to_value().unwrap());
        assert_eq!(
            value(&["--precision", "fast"]).unwrap(),
            json!({"precision": "fast"})
        );
        assert_eq!(value(&[]).unwrap(), json!({}));
        let message = value(&["--precision", "half"]).unwrap_err().to_string();
        assert!(message.contains("exact, fast"), "{message}");
        let help = Flags::command().render_long_help().to_string();
        for words in ["--precision", "full precision", "TF32", "1e-3", "wgpu"] {
            assert!(help.contains(words), "{words} not in {help}");
        }
    }
}
