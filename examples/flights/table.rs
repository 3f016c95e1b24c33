//! Prints a summary: a table, a sentence, and one line of JSON if asked for.

use crate::Failure;
use crate::tally::{Carrier, Summary};
use comfy_table::{CellAlignment, Table, presets};

/// Prints to standard output.
pub(crate) fn print(summary: &Summary, json: bool) -> Result<(), Failure> {
    println!("{}\n\n{}", table(summary), sentence(summary));
    if json {
        println!("{}", serde_json::to_string(summary)?);
    }
    Ok(())
}

fn table(summary: &Summary) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(["carrier", "flights", "mean departure delay (min)"]);
    let mut carriers: Vec<_> = summary.carriers.iter().collect();
    carriers.sort_by_key(|(name, carrier)| (std::cmp::Reverse(carrier.flights), *name));
    for (name, carrier) in carriers {
        table.add_row(row(name, carrier));
    }
    table.add_row(row("all", &summary.total));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(name: &str, carrier: &Carrier) -> [String; 3] {
    let mean = carrier.mean_dep_delay.map_or_else(|| "-".to_owned(), |minutes| format!("{minutes:.2}"));
    [name.to_owned(), carrier.flights.to_string(), mean]
}

fn sentence(summary: &Summary) -> String {
    let Summary { records, lost, repeated, seconds, .. } = summary;
    format!("{records} records read, {lost} lost, {repeated} repeated, {seconds:.1} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::{Handled, Tally};
    use std::time::Duration;

    fn summary() -> Summary {
        let mut tally = Tally::default();
        for (number, carrier, dep_delay) in [("1", "B6", Some(3.0)), ("2", "UA", Some(2.25)), ("3", "UA", None)] {
            tally.add(Handled { sequence_number: number.to_owned(), carrier: carrier.to_owned(), dep_delay });
        }
        tally.summary(0, Duration::from_millis(1_234))
    }

    #[test]
    fn the_carrier_with_most_flights_comes_first_and_the_total_last() {
        let text = table(&summary()).to_string();
        let rows: Vec<_> = text
            .lines()
            .filter(|line| line.contains('.'))
            .map(|line| line.trim_matches('│').split_whitespace().collect::<Vec<_>>())
            .collect();
        assert_eq!(rows, [["UA", "2", "2.25"], ["B6", "1", "3.00"], ["all", "3", "2.62"]]);
    }

    #[test]
    fn the_sentence_and_the_json_have_the_same_numbers() {
        assert_eq!(sentence(&summary()), "3 records read, 0 lost, 0 repeated, 1.2 s");
        let object = serde_json::json!({
            "records": 3, "lost": 0, "repeated": 0, "seconds": 1.234,
            "carriers": {"B6": {"flights": 1, "mean_dep_delay": 3.0}, "UA": {"flights": 2, "mean_dep_delay": 2.25}},
        });
        assert_eq!(serde_json::to_value(summary()).unwrap(), object);
    }
}
