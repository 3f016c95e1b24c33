//! Defines a measured figure with its bound, prints figures, and computes medians and percentiles.

use comfy_table::{CellAlignment, Table};

/// A measured value with a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    bound: Option<Bound>,
}

/// The limit that a value has to meet.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Figure { name: name.into(), value, unit, bound: None }
    }

    pub(crate) fn at_most(self, most: f64) -> Self {
        Figure { bound: Some(Bound::AtMost(most)), ..self }
    }

    pub(crate) fn at_least(self, least: f64) -> Self {
        Figure { bound: Some(Bound::AtLeast(least)), ..self }
    }

    /// `{"figure": "drain.cpu_ratio", "value": 1.12, "unit": "x"}`
    pub(crate) fn to_json(&self) -> String {
        let (name, unit) = (serde_json::json!(self.name), serde_json::json!(self.unit));
        format!(r#"{{"figure": {name}, "value": {}, "unit": {unit}}}"#, rounded(self.value))
    }

    fn is_missed(&self) -> bool {
        match self.bound {
            None => false,
            Some(Bound::AtMost(most)) => self.value > most,
            Some(Bound::AtLeast(least)) => self.value < least,
        }
    }
}

/// Rounds to three decimals; further digits are noise.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// Formats all figures as a table.
pub(crate) fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["figure", "value", "unit", "bound", ""]);
    for figure in figures {
        let bound = match figure.bound {
            None => String::new(),
            Some(Bound::AtMost(most)) => format!("<= {most}"),
            Some(Bound::AtLeast(least)) => format!(">= {least}"),
        };
        let verdict = if figure.is_missed() { "missed" } else { "" };
        table.add_row([&figure.name, &rounded(figure.value).to_string(), figure.unit, &bound, verdict]);
    }
    if let Some(values) = table.column_mut(1) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Returns the middle value, or the mean of the two middle values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Returns the largest value, or NaN without values.
pub(crate) fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::NAN, f64::max)
}

/// Returns the 99th percentile; of fewer than 100 values the largest.
pub(crate) fn p99(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let rank = (values.len() * 99).div_ceil(100);
    rank.checked_sub(1).and_then(|index| values.get(index)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_one_line_of_json() {
        let figure = Figure::new("drain.cpu_ratio", 1.123_456, "x").at_most(1.3);
        assert_eq!(figure.to_json(), r#"{"figure": "drain.cpu_ratio", "value": 1.123, "unit": "x"}"#);
    }

    #[test]
    fn a_value_worse_than_its_bound_is_missed() {
        assert!(Figure::new("a", 1.31, "x").at_most(1.3).is_missed());
        assert!(!Figure::new("a", 1.3, "x").at_most(1.3).is_missed());
        assert!(Figure::new("a", 0.94, "x").at_least(0.95).is_missed());
        assert!(!Figure::new("a", 99.0, "x").is_missed());
    }

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn of_two_hundred_values_two_exceed_the_99th_percentile() {
        assert_eq!(p99((1..=200).map(f64::from)), 198.0);
        assert_eq!(p99([2.0, 3.0, 1.0]), 3.0);
        assert!(p99([]).is_nan() && largest([]).is_nan());
    }
}
