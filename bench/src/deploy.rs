//! `deploy`: the pause of a shard whose worker is asked to end, and the records that come twice for it.

use std::time::Duration;

use crate::feed::EVERY;
use crate::figure::{Figure, largest, p99};
use crate::fleet::Fleet;
use crate::server::Server;
use crate::{Error, Options, clock};

const SHARDS: u64 = 8;
/// What a fleet does after its start is done by then.
const SETTLE: Duration = Duration::from_secs(3);

/// Which of the two workers is asked to end.
#[derive(Clone, Copy, Debug)]
enum Leaver {
    Leader,
    Other,
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let (mut gaps, mut repeated) = (Vec::new(), 0);
    for run in 1..=options.runs {
        for leaver in [Leaver::Other, Leaver::Leader] {
            let (some, twice) = measure(leaver, options).await?;
            let worst = largest(some.iter().copied());
            eprintln!("deploy {run}/{}: {leaver:?} left: {worst:.2} s, {twice} repeated", options.runs);
            gaps.extend(some);
            repeated += twice;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a count of records")]
    let repeated = repeated as f64;
    Ok(vec![
        Figure::new("deploy.gap_p99", p99(gaps), "s").at_most(1.0),
        Figure::new("deploy.repeated", repeated, "records").at_most(0.0),
    ])
}

/// The gaps of all shards in seconds, and the records that came twice.
async fn measure(leaver: Leaver, options: &Options) -> Result<(Vec<f64>, usize), Error> {
    let server = Server::start(options.latency, SHARDS, 0).await?;
    let (mut fleet, feed) = Fleet::settled(&server, options.failover_time, 2, SETTLE).await?;
    let (leader, others) = fleet.roles().await?;
    let leaver = match leaver {
        Leaver::Leader => leader,
        Leaver::Other => others.into_iter().next().ok_or("the leader is alone")?,
    };
    let before = fleet.journal().repeated();
    let asked = clock::now();
    fleet.terminate(&leaver).await?;
    fleet.balanced().await?;
    fleet.drained(feed).await?;
    let journal = fleet.journal();
    let gaps = journal.pauses(asked).into_values().map(|pause| pause.saturating_sub(EVERY).as_secs_f64()).collect();
    Ok((gaps, journal.repeated() - before))
}
