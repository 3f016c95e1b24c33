//! Pools clients for subscriptions, each with its own connection and a limited number of
//! subscriptions.
//!
//! A service limits the concurrent requests of a connection (usually 128), and hyper keeps one
//! HTTP/2 connection per host and client: further requests wait, invisibly, until another one ends
//! (hyperium/hyper#2197). A subscription lasts for minutes, and every other request to that host
//! would wait behind it: reads, lists of shards.
//!
//! If the caller's configuration contains an HTTP client, all pooled clients share it. The SDK's
//! HTTP client keeps separate connections per set of timeouts, so each pooled client connects with
//! a different timeout, across all streams of the process. Another HTTP client may use one
//! connection for everything: then requests that get no place on it time out.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::StalledStreamProtectionConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const MAX_PER_CLIENT: usize = 64;
/// The SDK's default, if the caller's configuration has none.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct SubscriptionClients {
    template: Client,
    open: Mutex<Vec<Slot>>,
}

#[derive(Debug)]
struct Slot {
    client: Client,
    subscriptions: usize,
    _key: ConnectionKey,
}

/// A client with a place for one subscription, returned to the pool when this is dropped.
#[derive(Debug)]
pub(super) struct PooledClient {
    client: Client,
    index: usize,
    of: Arc<SubscriptionClients>,
}

impl SubscriptionClients {
    /// Creates a pool of clients with this one's configuration.
    pub(super) fn new(template: Client) -> Self {
        SubscriptionClients { template, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(self: &Arc<Self>) -> PooledClient {
        let mut open = self.open();
        let index = open.iter().position(|open| open.subscriptions < MAX_PER_CLIENT).unwrap_or(open.len());
        if index == open.len() {
            open.push(self.new_slot());
        }
        let taken = open.get_mut(index).map(|open| {
            open.subscriptions += 1;
            open.client.clone()
        });
        PooledClient { client: taken.unwrap_or_else(|| self.template.clone()), index, of: Arc::clone(self) }
    }

    fn new_slot(&self) -> Slot {
        let (config, key) = (self.template.config(), ConnectionKey::take());
        let config = config
            .to_builder()
            // A subscription may be idle; the reader's own timeouts apply.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(key.timeouts(config.timeout_config()));
        Slot { client: Client::from_conf(config.build()), subscriptions: 0, _key: key }
    }
}

impl Deref for PooledClient {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for PooledClient {
    fn drop(&mut self) {
        if let Some(open) = self.of.open().get_mut(self.index) {
            open.subscriptions = open.subscriptions.saturating_sub(1);
        }
    }
}

static CONNECTION_KEYS: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// A number, starting at 1, that no other pooled client of the process has.
#[derive(Debug)]
struct ConnectionKey(u64);

impl ConnectionKey {
    fn take() -> Self {
        let mut keys = CONNECTION_KEYS.lock().unwrap_or_else(PoisonError::into_inner);
        let free = keys.iter().zip(1..).find(|(taken, number)| *taken != number).map(|(_, number)| number);
        let number = free.unwrap_or(keys.len() as u64 + 1);
        keys.insert(number);
        ConnectionKey(number)
    }

    /// Returns the timeouts with a connect timeout that is longer by this many milliseconds.
    fn timeouts(&self, given: Option<&TimeoutConfig>) -> TimeoutConfig {
        let given = given.map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        let connect = given.clone().build().connect_timeout().unwrap_or(CONNECT_TIMEOUT);
        given.connect_timeout(connect.saturating_add(Duration::from_millis(self.0))).build()
    }
}

impl Drop for ConnectionKey {
    fn drop(&mut self) {
        CONNECTION_KEYS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::config::BehaviorVersion;

    fn clients() -> Arc<SubscriptionClients> {
        let config = aws_sdk_kinesis::Config::builder().behavior_version(BehaviorVersion::v2026_01_12()).build();
        Arc::new(SubscriptionClients::new(Client::from_conf(config)))
    }

    fn connect(taken: &PooledClient) -> Option<Duration> {
        taken.config().timeout_config()?.connect_timeout()
    }

    #[test]
    fn clients_have_different_connect_timeouts_and_a_limited_number_of_subscriptions() {
        let (one, other) = (clients(), clients());
        let taken: Vec<PooledClient> = [&one, &other].iter().flat_map(|of| (0..150).map(|_| of.take())).collect();
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
        assert_eq!(one.open().len(), 3, "a free place is used again");
    }

    #[test]
    fn subscriptions_have_no_stalled_stream_protection() {
        let taken = clients().take();
        let protection = taken.config().stalled_stream_protection().unwrap();
        assert!(!protection.is_enabled());
    }

    /// Reads keep the SDK's stalled-stream protection, whose grace period is longer. The reader's
    /// deadline must expire first, because it reduces the next request.
    #[test]
    fn a_slow_read_times_out_before_the_stalled_stream_protection() {
        let grace = StalledStreamProtectionConfig::enabled().build().grace_period();
        assert!(crate::config::timing::READ_CALL_DEADLINE < grace, "{grace:?}");
    }

    #[test]
    fn the_callers_timeouts_are_kept_except_for_the_distinguishing_milliseconds() {
        let secs = Duration::from_secs;
        let given = TimeoutConfig::builder().connect_timeout(secs(1)).operation_attempt_timeout(secs(15)).build();
        let timeouts = ConnectionKey(7).timeouts(Some(&given));
        assert_eq!(timeouts.connect_timeout(), Some(Duration::from_millis(1_007)));
        assert_eq!(timeouts.operation_attempt_timeout(), Some(secs(15)));
    }
}
