//! Reads flights from a CSV file, compressed with gzip or not.

use crate::Failure;
use crate::flight::Flight;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// The file that comes with the example: departures from New York in January 2013.
pub(crate) fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/flights-2013-01.csv.gz")
}

/// Reads the whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<Flight>, Failure> {
    let name = path.display();
    let file = File::open(path).map_err(|error| format!("cannot open {name}: {error}"))?;
    let gzipped = path.extension().is_some_and(|extension| extension == "gz");
    let flights = if gzipped { parse(MultiGzDecoder::new(BufReader::new(file))) } else { parse(BufReader::new(file)) };
    let flights = flights.map_err(|error| format!("cannot read flights from {name}: {error}"))?;
    if flights.is_empty() { Err(format!("{name} has no flights").into()) } else { Ok(flights) }
}

fn parse(text: impl Read) -> Result<Vec<Flight>, csv::Error> {
    // An error contains the line of the bad row, or the name of a missing column.
    csv::Reader::from_reader(text).deserialize().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "year,carrier,flight,tailnum,origin,dest,dep_delay,arr_delay,time_hour\n";

    fn rows(rows: &str) -> Result<Vec<Flight>, csv::Error> {
        parse(format!("{HEADER}{rows}").as_bytes())
    }

    #[test]
    fn the_bundled_file_has_27004_flights() {
        let flights = read(&bundled()).unwrap();
        assert_eq!(flights.len(), 27_004);
        let of = |carrier: &str| flights.iter().filter(|flight| flight.carrier == carrier).count();
        assert_eq!(["UA", "B6", "EV", "DL", "AA"].map(of), [4637, 4427, 4171, 3690, 2794]);
        assert_eq!(flights.iter().filter(|flight| flight.tailnum.is_none()).count(), 155);
        assert_eq!(flights.iter().filter(|flight| flight.dep_delay.is_none()).count(), 521);
    }

    #[test]
    fn na_and_empty_values_are_none() {
        let flights = rows("2013,UA,1545,NA,EWR,IAH,NA,,2013-01-01T10:00:00Z\n").unwrap();
        assert_eq!((flights[0].tailnum.as_deref(), flights[0].dep_delay, flights[0].arr_delay), (None, None, None));
        assert_eq!(flights[0].partition_key(), "UA1545");
    }

    #[test]
    fn the_aircraft_is_the_partition_key() {
        let flights = rows("2013,UA,1545,N14228,EWR,IAH,-2,11,2013-01-01T10:00:00Z\n").unwrap();
        assert_eq!((flights[0].partition_key(), flights[0].dep_delay), ("N14228".to_owned(), Some(-2.0)));
    }

    #[test]
    fn a_flight_is_the_same_after_json() {
        for row in ["UA,1,N1,EWR,IAH,2,3", "UA,1,NA,EWR,IAH,NA,NA"] {
            let flight = rows(&format!("2013,{row},2013-01-01T10:00:00Z\n")).unwrap().remove(0);
            let json = serde_json::to_vec(&flight).unwrap();
            assert_eq!(serde_json::from_slice::<Flight>(&json).unwrap(), flight);
        }
    }

    #[test]
    fn the_error_names_the_line_of_a_bad_row_and_a_missing_column() {
        let error = rows("2013,UA,one,N1,EWR,IAH,2,3,x\n").unwrap_err().to_string();
        assert!(error.contains("line: 2"), "{error}");
        let error = parse("carrier,flight\nUA,1\n".as_bytes()).unwrap_err().to_string();
        assert!(error.contains("time_hour"), "{error}");
    }
}
