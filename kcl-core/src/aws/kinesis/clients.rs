//! Clients for subscriptions, each with a connection of its own and room for a bounded number of them.
//!
//! A service lets so many requests share a connection (128 are usual), and hyper keeps one connection for each host and client:
//! further requests wait, unseen, for one of the others to end (hyperium/hyper#2197). A subscription does that after minutes,
//! and what else goes to that host waits behind it: reads, lists of shards.
//!
//! Where the caller's configuration brings an HTTP client, all of ours share it. The SDK's keeps connections apart by the
//! timeouts that they were made with, so each of ours connects with another one, for all streams of the process. An HTTP client
//! of another make may have one connection for everything: then what finds no room on it is not answered, and the deadline of
//! each call says so.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::StalledStreamProtectionConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const MOST_ON_A_CLIENT: usize = 64;
/// The SDK's own, where the caller's configuration names none.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Clients {
    like: Client,
    open: Mutex<Vec<Open>>,
}

#[derive(Debug)]
struct Open {
    client: Client,
    subscriptions: usize,
    _line: Line,
}

/// A client with room for one subscription, while this is kept.
#[derive(Debug)]
pub(super) struct Taken {
    client: Client,
    index: usize,
    of: Arc<Clients>,
}

impl Clients {
    /// Clients like this one.
    pub(super) fn new(like: Client) -> Self {
        Clients { like, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(self: &Arc<Self>) -> Taken {
        let mut open = self.open();
        let index = open.iter().position(|open| open.subscriptions < MOST_ON_A_CLIENT).unwrap_or(open.len());
        if index == open.len() {
            open.push(self.another());
        }
        let taken = open.get_mut(index).map(|open| {
            open.subscriptions += 1;
            open.client.clone()
        });
        Taken { client: taken.unwrap_or_else(|| self.like.clone()), index, of: Arc::clone(self) }
    }

    fn another(&self) -> Open {
        let (config, line) = (self.like.config(), Line::take());
        let config = config
            .to_builder()
            // A subscription may be silent for as long as it likes; deadlines of our own look after it.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(line.timeouts(config.timeout_config()));
        Open { client: Client::from_conf(config.build()), subscriptions: 0, _line: line }
    }
}

impl Deref for Taken {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(open) = self.of.open().get_mut(self.index) {
            open.subscriptions = open.subscriptions.saturating_sub(1);
        }
    }
}

static LINES: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// A number from 1 on that no other client of the process has.
#[derive(Debug)]
struct Line(u64);

impl Line {
    fn take() -> Self {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        let free = lines.iter().zip(1..).find(|(taken, number)| *taken != number).map(|(_, number)| number);
        let number = free.unwrap_or(lines.len() as u64 + 1);
        lines.insert(number);
        Line(number)
    }

    /// The same, but for so many milliseconds that there are more to connect.
    fn timeouts(&self, like: Option<&TimeoutConfig>) -> TimeoutConfig {
        let like = like.map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        let connect = like.clone().build().connect_timeout().unwrap_or(CONNECT_TIMEOUT);
        like.connect_timeout(connect.saturating_add(Duration::from_millis(self.0))).build()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::config::BehaviorVersion;

    fn clients() -> Arc<Clients> {
        let config = aws_sdk_kinesis::Config::builder().behavior_version(BehaviorVersion::v2026_01_12()).build();
        Arc::new(Clients::new(Client::from_conf(config)))
    }

    fn connect(taken: &Taken) -> Option<Duration> {
        taken.config().timeout_config()?.connect_timeout()
    }

    #[test]
    fn no_two_clients_of_the_process_connect_alike_and_each_has_a_bounded_number_of_subscriptions() {
        let (one, other) = (clients(), clients());
        let taken: Vec<Taken> = [&one, &other].iter().flat_map(|of| (0..150).map(|_| of.take())).collect();
        let mut by_timeout = std::collections::BTreeMap::<_, usize>::new();
        for taken in &taken {
            *by_timeout.entry(connect(taken).unwrap()).or_default() += 1;
        }
        let mut sizes: Vec<usize> = by_timeout.into_values().collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [22, 22, 64, 64, 64, 64]);
        drop(taken);
        assert_eq!(one.open().iter().map(|open| open.subscriptions).sum::<usize>(), 0);
        drop(one.take());
        assert_eq!(one.open().len(), 3, "what is free is taken again");
    }

    #[test]
    fn a_subscription_is_not_taken_for_a_stalled_download() {
        let taken = clients().take();
        let protection = taken.config().stalled_stream_protection().unwrap();
        assert!(!protection.is_enabled());
    }

    /// The SDK's default, which reads keep: an answer that stands for so long. Ours comes first, and asks for less then.
    #[test]
    fn a_slow_read_meets_its_own_deadline_before_it_can_be_taken_for_a_stalled_one() {
        let grace = StalledStreamProtectionConfig::enabled().build().grace_period();
        assert!(crate::retrieval::CALL_DEADLINE < grace, "{grace:?}");
    }

    #[test]
    fn the_callers_timeouts_are_kept_but_for_the_milliseconds_that_tell_clients_apart() {
        let secs = Duration::from_secs;
        let given = TimeoutConfig::builder().connect_timeout(secs(1)).operation_attempt_timeout(secs(15)).build();
        let timeouts = Line(7).timeouts(Some(&given));
        assert_eq!(timeouts.connect_timeout(), Some(Duration::from_millis(1_007)));
        assert_eq!(timeouts.operation_attempt_timeout(), Some(secs(15)));
    }
}
