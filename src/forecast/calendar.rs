//! What is known of the time of a step, of the past as of the future.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tgmamba_graph::series::{Step, TimeAxis};

use crate::error::{Error, Result};

const DAY: i64 = 86_400;

/// A property of a time, as a number from 0 to below 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalendarFeature {
    /// Seconds since midnight / 86400.
    TimeOfDay,
    /// Days since Monday / 7.
    DayOfWeek,
    /// 1/2 on Saturday and Sunday, else 0.
    Weekend,
    /// Place in the mean year of 365.2425 days, counted from 1 January 1970.
    TimeOfYear,
}

/// Seconds of a mean Gregorian year.
const YEAR: f64 = 365.2425 * DAY as f64;

impl CalendarFeature {
    fn of(self, stamp: i64) -> f32 {
        match self {
            Self::TimeOfDay => stamp.rem_euclid(DAY) as f32 / DAY as f32,
            Self::DayOfWeek => weekday(stamp) as f32 / 7.0,
            Self::Weekend => f32::from(u8::from(weekday(stamp) >= 5)) / 2.0,
            Self::TimeOfYear => ((stamp as f64 / YEAR).rem_euclid(1.0)) as f32,
        }
    }
}

/// Days since Monday; 1970-01-01 was a Thursday.
fn weekday(stamp: i64) -> i64 {
    (stamp.div_euclid(DAY) + 3).rem_euclid(7)
}

/// The times of a series as features and as places in day and week.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    features: Vec<CalendarFeature>,
    stamps: Vec<i64>,
    /// Steps in a day, where the time of day is a feature.
    per_day: Option<usize>,
}

impl Calendar {
    /// What a clock tells that training can learn from: of time of day, day of week and time of year
    /// those that change from step to step and whose cycle lies at least twice in the `known` steps.
    /// Where a week does not, but both work days and weekends are known, it is the weekend.
    pub fn suited(time: Option<&TimeAxis>, known: Range<usize>) -> Vec<CalendarFeature> {
        let Some(time) = time else {
            return Vec::new();
        };
        let steps = known.len() as f64;
        let (seconds, span) = match time.step() {
            Step::Seconds(s) => (Some(s), steps * s as f64),
            Step::Months(m) => (None, steps * f64::from(m) * YEAR / 12.0),
        };
        let daily = time.step().per_day().is_some_and(|n| n > 1);
        let weekly = seconds.is_some_and(|s| s % (7 * DAY) != 0 && s < 7 * DAY);
        let yearly = match time.step() {
            Step::Seconds(s) => s >= DAY,
            Step::Months(m) => m % 12 != 0,
        };
        let twice = |cycle: f64| span >= 2.0 * cycle;
        let weeks = twice(7.0 * DAY as f64);
        let both_kinds = || {
            let known = time.stamps().get(known).unwrap_or_default();
            let weekend = |stamp: &i64| weekday(*stamp) >= 5;
            known.iter().any(weekend) && !known.iter().all(weekend)
        };
        [
            (daily && twice(DAY as f64), CalendarFeature::TimeOfDay),
            (weekly && weeks, CalendarFeature::DayOfWeek),
            (weekly && !weeks && both_kinds(), CalendarFeature::Weekend),
            (yearly && twice(YEAR), CalendarFeature::TimeOfYear),
        ]
        .into_iter()
        .filter_map(|(suits, feature)| suits.then_some(feature))
        .collect()
    }

    /// Of the times of a series and the `ahead` steps after them.
    ///
    /// # Errors
    /// Features that were asked for where the series has no clock.
    pub fn new(
        time: Option<&TimeAxis>,
        features: &[CalendarFeature],
        ahead: usize,
    ) -> Result<Self> {
        let Some(time) = time else {
            if !features.is_empty() {
                return Err(Error::config(
                    "forecast.calendar",
                    "the series has no time stamps",
                    "leave --calendar out, or give the files a time column",
                ));
            }
            return Ok(Self {
                features: Vec::new(),
                stamps: Vec::new(),
                per_day: None,
            });
        };
        let daily = features.contains(&CalendarFeature::TimeOfDay);
        let mut stamps = time.stamps().to_vec();
        stamps.extend((1..=ahead).map_while(|n| time.next(n)));
        Ok(Self {
            features: features.to_vec(),
            stamps,
            per_day: time.step().per_day().filter(|n| daily && *n > 1),
        })
    }

    /// The features, in the order of [`fill`](Self::fill).
    pub fn features(&self) -> &[CalendarFeature] {
        &self.features
    }

    /// Time of a step, of one in the future too; `None` without a clock.
    pub fn stamp(&self, step: usize) -> Option<i64> {
        self.stamps.get(step).copied()
    }

    /// Writes the features of a step.
    pub fn fill(&self, step: usize, out: &mut [f32]) {
        let stamp = self.stamp(step).unwrap_or_default();
        for (value, feature) in out.iter_mut().zip(&self.features) {
            *value = feature.of(stamp);
        }
    }

    /// Number of different places in a day; 1 where the time of day is no feature.
    pub fn slots(&self) -> usize {
        self.per_day.unwrap_or(1)
    }

    /// Number of kinds of days that are told apart: 7, or 2 with weekends, or 1.
    pub fn weekdays(&self) -> usize {
        if self.features.contains(&CalendarFeature::DayOfWeek) {
            7
        } else if self.features.contains(&CalendarFeature::Weekend) {
            2
        } else {
            1
        }
    }

    /// Place of a step in its day and kind of its day, both from 0.
    pub fn place(&self, step: usize) -> (usize, usize) {
        let Some(stamp) = self.stamp(step) else {
            return (0, 0);
        };
        let slot = stamp.rem_euclid(DAY) as usize * self.slots() / DAY as usize;
        let day = match self.weekdays() {
            7 => weekday(stamp),
            2 => i64::from(weekday(stamp) >= 5),
            _ => 0,
        };
        (slot, day as usize)
    }

    /// Steps of the season that suits the clock: a day, else a week, else a year, else 1.
    pub fn season(step: Option<Step>) -> usize {
        match step {
            Some(Step::Seconds(s)) => match step.and_then(Step::per_day) {
                Some(1) => 7,
                Some(n) => n,
                None if s == 7 * DAY => 52,
                None => 1,
            },
            Some(Step::Months(m)) if 12 % m == 0 => (12 / m) as usize,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tgmamba_graph::series::stamp_of;

    fn axis(step: Step, n: usize) -> TimeAxis {
        // A Thursday.
        let start = stamp_of(2012, 3, 1, 0, 0, 0).unwrap();
        TimeAxis::regular(start, step, n).unwrap()
    }

    /// All that suits the clock if the whole of it is known.
    fn whole(time: &TimeAxis, ahead: usize) -> Calendar {
        let features = Calendar::suited(Some(time), 0..time.stamps().len());
        Calendar::new(Some(time), &features, ahead).unwrap()
    }

    #[test]
    fn five_minutes_have_days_and_weeks() {
        let n = 15 * 288;
        let calendar = whole(&axis(Step::Seconds(300), n), 12);
        let expected = [CalendarFeature::TimeOfDay, CalendarFeature::DayOfWeek];
        assert_eq!(calendar.features(), expected);
        assert_eq!((calendar.slots(), calendar.weekdays()), (288, 7));
        let mut out = [0.0; 2];
        calendar.fill(289, &mut out);
        assert_eq!(out, [1.0 / 288.0, 4.0 / 7.0]);
        assert_eq!(calendar.place(289), (1, 4));
        // Twelve steps beyond the end are known, a thirteenth is not.
        assert!(calendar.stamp(n + 11).is_some() && calendar.stamp(n + 12).is_none());
    }

    #[test]
    fn a_cycle_has_to_be_known_twice() {
        let time = axis(Step::Seconds(300), 15 * 288);
        let suited = |known| Calendar::suited(Some(&time), known);
        let (day, weekend) = (CalendarFeature::TimeOfDay, CalendarFeature::Weekend);
        // From Thursday on: a day and a half, two days, five with a weekend among them.
        assert_eq!(suited(0..432), []);
        assert_eq!(suited(0..576), [day]);
        assert_eq!(suited(0..1440), [day, weekend]);
        // Saturday and Sunday alone.
        assert_eq!(suited(576..1152), [day]);
        let calendar = Calendar::new(Some(&time), &[day, weekend], 0).unwrap();
        assert_eq!((calendar.slots(), calendar.weekdays()), (288, 2));
        let days: Vec<usize> = (0..7).map(|d| calendar.place(d * 288).1).collect();
        assert_eq!(days, [0, 0, 1, 1, 0, 0, 0]);
        let mut out = [0.0; 2];
        calendar.fill(3 * 288, &mut out);
        assert_eq!(out, [0.0, 0.5]);
        // A year of days knows weeks, no years.
        let days = axis(Step::Seconds(DAY), 365);
        let expected = [CalendarFeature::DayOfWeek];
        assert_eq!(Calendar::suited(Some(&days), 0..365), expected);
    }

    #[test]
    fn weeks_and_years_know_less() {
        let weeks = whole(&axis(Step::Seconds(7 * DAY), 110), 0);
        assert_eq!(weeks.features(), [CalendarFeature::TimeOfYear]);
        assert_eq!((weeks.slots(), weeks.weekdays()), (1, 1));
        let mut out = [0.0];
        weeks.fill(0, &mut out);
        // 1 March is day 60 of a leap year: 60 / 366.
        assert!((out[0] - 60.0 / 366.0).abs() < 3e-3, "{}", out[0]);
        let years = whole(&axis(Step::Months(12), 9), 0);
        assert!(years.features().is_empty());
        let days = whole(&axis(Step::Seconds(DAY), 14), 0);
        assert_eq!(
            (days.slots(), days.weekdays(), days.place(2)),
            (1, 7, (0, 5))
        );
    }

    #[test]
    fn seasons_suit_the_clock() {
        for (step, season) in [
            (Some(Step::Seconds(300)), 288),
            (Some(Step::Seconds(3600)), 24),
            (Some(Step::Seconds(DAY)), 7),
            (Some(Step::Seconds(7 * DAY)), 52),
            (Some(Step::Months(12)), 1),
            (Some(Step::Months(1)), 12),
            (Some(Step::Seconds(7)), 1),
            (None, 1),
        ] {
            assert_eq!(Calendar::season(step), season, "{step:?}");
        }
    }

    #[test]
    fn no_clock_no_calendar() {
        let asked = [CalendarFeature::TimeOfDay];
        let message = Calendar::new(None, &asked, 0).unwrap_err().to_string();
        assert!(message.contains("no time stamps"), "{message}");
        let none = Calendar::new(None, &[], 3).unwrap();
        assert_eq!((none.features().len(), none.place(5)), (0, (0, 0)));
    }
}
