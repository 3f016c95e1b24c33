//! The faults of calls: scripted, because a process is cut off, or random.

use super::history::{Fact, History, Name};
use super::host::Host;
use super::refusal::AwsError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The duration of each call when all take equally long.
const EACH_WAY: Duration = Duration::from_millis(2);

/// The target of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Table,
    Stream,
}

/// A call of a process, before it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) process: &'a Name,
    pub(crate) service: Service,
    pub(crate) operation: &'static str,
    /// The number of calls sent before it, by any process.
    pub(crate) number: u64,
}

/// A fault of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has no effect and gets no answer.
    LostRequest,
    /// It has its effect and gets no answer.
    LostResponse,
    /// It is throttled.
    Throttled,
    /// It arrives this much later.
    Late(Duration),
    /// Its answer arrives this much later.
    SlowAnswer(Duration),
    /// A read shows a state that is this old.
    Stale(Duration),
    /// The process dies: before the call has its effect, or after.
    Crash { effect: bool },
    /// The process is frozen for this time while the call is on its way.
    Freeze(Duration),
    /// The iterator has expired.
    IteratorExpired,
    /// The service fails with an internal error.
    Unavailable,
    /// The service, or something on the way to it, refuses the call with this error.
    Refused(AwsError),
    /// The answer is wrong; the number selects one of several ways (`model::stream`).
    Wrong(u32),
}

impl Fate {
    /// For pushed events: true if this event and all later ones are lost.
    pub(crate) fn is_silent(self) -> bool {
        matches!(self, Fate::LostRequest | Fate::LostResponse | Fate::Crash { .. })
    }

    /// For pushed events: the additional delay.
    pub(crate) fn delay(self) -> Option<Duration> {
        match self {
            Fate::Late(by) | Fate::SlowAnswer(by) => Some(by),
            Fate::Stale(_) | Fate::Freeze(_) => Some(Duration::ZERO),
            Fate::LostRequest
            | Fate::LostResponse
            | Fate::Crash { .. }
            | Fate::Throttled
            | Fate::IteratorExpired
            | Fate::Unavailable
            | Fate::Refused(_)
            | Fate::Wrong(_) => None,
        }
    }
}

/// The service that a process is cut off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Everything,
    Table,
    Stream,
}

impl Cut {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Cut::Everything => "everything",
            Cut::Table => "the table",
            Cut::Stream => "the stream",
        }
    }

    fn concerns(self, service: Service) -> bool {
        match self {
            Cut::Everything => true,
            Cut::Table => service == Service::Table,
            Cut::Stream => service == Service::Stream,
        }
    }
}

/// Probabilities in thousandths of all calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Odds {
    pub(crate) lost: u32,
    pub(crate) throttled: u32,
    pub(crate) late: u32,
    pub(crate) slow: u32,
    pub(crate) stale: u32,
    pub(crate) broken: u32,
    pub(crate) refused: u32,
    /// Wrong answers of the stream: of this many reads in a thousand, and of ten times as many
    /// lists of shards. They are wrong once: the lists that follow a wrong one are right.
    pub(crate) wrong: u32,
}

/// The number of right lists after a wrong one.
const RIGHT_LISTS: u32 = 8;

type Rule = Box<dyn FnMut(&Call<'_>) -> Option<Fate> + Send>;

/// See the module's documentation. Clones are the same fault injector.
#[derive(Clone)]
pub(crate) struct Weather {
    state: Arc<Mutex<State>>,
    history: History,
}

struct State {
    rng: fastrand::Rng,
    odds: Odds,
    uneven: bool,
    /// The most rows in a page of a scan; pages take time.
    page: usize,
    /// The shortest and the longest time of a page in milliseconds; a few milliseconds if absent.
    page_time: Option<(u64, u64)>,
    /// Until then the table throttles every call.
    table_full_until: Duration,
    rules: Vec<Rule>,
    cut: BTreeMap<Name, Cut>,
    hosts: BTreeMap<Name, Host>,
    calls: u64,
    /// How many of the next lists are right, whatever the odds.
    right_lists: u32,
    /// Processes that have sent a heartbeat. Before that a refusal ends a worker, by design.
    beating: BTreeSet<Name>,
}

impl Weather {
    pub(crate) fn new(rng: fastrand::Rng, history: History) -> Self {
        let (odds, page, table_full_until) = (Odds::default(), usize::MAX, Duration::ZERO);
        let (rules, cut, hosts, calls, right_lists) = (Vec::new(), BTreeMap::new(), BTreeMap::new(), 0, 0);
        let state = State {
            rng,
            odds,
            uneven: false,
            page,
            page_time: None,
            table_full_until,
            rules,
            cut,
            hosts,
            calls,
            right_lists,
            beating: BTreeSet::new(),
        };
        Weather { state: Arc::new(Mutex::new(state)), history }
    }

    /// Sets the odds from now on.
    pub(crate) fn odds(&self, odds: Odds) {
        self.state.lock().unwrap().odds = odds;
    }

    /// Reads of the whole table consist of pages of at most this many rows, each as the table is
    /// when that page is read.
    pub(crate) fn pages(&self, rows: usize) {
        self.state.lock().unwrap().page = rows;
    }

    /// Sets the shortest and the longest time of a page in milliseconds.
    pub(crate) fn slow_pages(&self, from: u64, to: u64) {
        self.state.lock().unwrap().page_time = Some((from, to));
    }

    pub(crate) fn page(&self) -> usize {
        self.state.lock().unwrap().page
    }

    /// Throttles the table for this time.
    pub(crate) fn throttle_table(&self, how_long: Duration) {
        self.state.lock().unwrap().table_full_until = self.history.now() + how_long;
    }

    /// Adds a rule that sees every call before random faults are drawn.
    pub(crate) fn rule(&self, rule: impl FnMut(&Call<'_>) -> Option<Fate> + Send + 'static) {
        self.state.lock().unwrap().rules.push(Box::new(rule));
    }

    pub(crate) fn cut(&self, process: &Name, from: Cut) {
        self.state.lock().unwrap().cut.insert(process.clone(), from);
        self.history.add(Fact::CutOff { process: process.clone(), from: from.as_str() });
    }

    pub(crate) fn mend(&self, process: &Name) {
        if self.state.lock().unwrap().cut.remove(process).is_some() {
            self.history.add(Fact::Mended { process: process.clone() });
        }
    }

    /// The longest time of a read of a table with this many rows, if every page is answered.
    pub(crate) fn read_time(&self, rows: usize) -> Duration {
        let state = self.state.lock().unwrap();
        let Some((_, longest)) = state.page_time else { return Duration::ZERO };
        let pages = u32::try_from(rows.div_ceil(state.page.max(1))).unwrap().max(1);
        (Duration::from_millis(longest) + EACH_WAY * 4) * pages
    }

    /// Removes rules and odds, and reconnects every process. Delayed calls are still on their way.
    pub(crate) fn calm(&self) {
        let cut: Vec<Name> = {
            let mut state = self.state.lock().unwrap();
            state.odds = Odds::default();
            state.table_full_until = Duration::ZERO;
            // A table that is slow to read stays slow: it is a property, not a fault.
            if state.page_time.is_none() {
                state.page = usize::MAX;
            }
            state.rules.clear();
            state.cut.keys().cloned().collect()
        };
        cut.iter().for_each(|process| self.mend(process));
    }

    pub(crate) fn knows(&self, process: Name, host: Host) {
        self.state.lock().unwrap().hosts.insert(process, host);
    }

    /// A heartbeat of this process has arrived: from now on its calls may be refused.
    pub(crate) fn heartbeats(&self, process: &Name) {
        let mut state = self.state.lock().unwrap();
        if !state.beating.contains(process) {
            state.beating.insert(process.clone());
        }
    }

    /// From now on no two calls take equally long.
    pub(crate) fn uneven(&self) {
        self.state.lock().unwrap().uneven = true;
    }

    /// The round trip of a call without a fault.
    pub(crate) fn latency(&self) -> (Duration, Duration) {
        let mut state = self.state.lock().unwrap();
        if !state.uneven {
            return (EACH_WAY, EACH_WAY);
        }
        let mut way = || Duration::from_micros(state.rng.u64(1_000..4_000));
        (way(), way())
    }

    /// The additional time of a page of a scan.
    pub(crate) fn page_time(&self, is_first: bool) -> Duration {
        let mut state = self.state.lock().unwrap();
        match state.page_time {
            Some((from, to)) => Duration::from_millis(state.rng.u64(from..=to)),
            None if is_first => Duration::ZERO,
            None => Duration::from_millis(state.rng.u64(1..300)),
        }
    }

    /// The number of calls sent so far.
    pub(crate) fn calls(&self) -> u64 {
        self.state.lock().unwrap().calls
    }

    /// Draws the fault of this call; crashes and freezes take effect on the process here.
    pub(crate) fn fate(&self, process: &Name, service: Service, operation: &'static str) -> (u64, Option<Fate>) {
        if operation == "Heartbeat" {
            self.heartbeats(process);
        }
        let (number, fate, host) = {
            let mut state = self.state.lock().unwrap();
            state.calls += 1;
            let number = state.calls;
            let call = Call { process, service, operation, number };
            let host = state.hosts.get(process).cloned();
            (number, state.draw(&call, self.history.now()), host)
        };
        if host.as_ref().is_some_and(Host::is_dead) {
            return (number, Some(Fate::LostRequest));
        }
        let Some(fate) = fate else { return (number, None) };
        let fact = |what: String| Fact::Befell { process: process.clone(), operation, what };
        match (fate, host) {
            (Fate::Crash { .. }, Some(host)) => {
                self.history.add(fact("the process dies".to_owned()));
                host.kill();
            }
            (Fate::Freeze(how_long), Some(host)) => {
                self.history.add(fact(format!("the process is frozen for {how_long:?}")));
                host.freeze();
                tokio::spawn(async move {
                    tokio::time::sleep(how_long).await;
                    host.thaw();
                });
            }
            (other, _) => self.history.add(fact(format!("{other:?}"))),
        }
        (number, Some(fate))
    }
}

impl State {
    fn draw(&mut self, call: &Call<'_>, now: Duration) -> Option<Fate> {
        if self.cut.get(call.process).is_some_and(|cut| cut.concerns(call.service)) {
            return Some(Fate::LostRequest);
        }
        if let Some(fate) = self.rules.iter_mut().find_map(|rule| rule(call)) {
            return Some(fate);
        }
        if call.service == Service::Table && now < self.table_full_until {
            return Some(Fate::Throttled);
        }
        let Odds { lost, throttled, late, slow, stale, broken, refused, wrong } = self.odds;
        if let Some(fate) = self.draw_wrong(call, wrong) {
            return Some(fate);
        }
        if lost + throttled + late + slow + stale + broken + refused == 0 {
            return None;
        }
        let mut drawn = self.rng.u32(0..1_000);
        let mut is = |odds: u32| match drawn.checked_sub(odds) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        };
        let seconds = |rng: &mut fastrand::Rng, most: u64| Duration::from_millis(rng.u64(1..most * 1_000));
        if is(lost) {
            Some(Fate::LostRequest)
        } else if is(lost) {
            Some(Fate::LostResponse)
        } else if is(throttled) {
            Some(Fate::Throttled)
        } else if is(late) {
            Some(Fate::Late(seconds(&mut self.rng, 12)))
        } else if is(slow) {
            Some(Fate::SlowAnswer(seconds(&mut self.rng, 4)))
        } else if is(stale) {
            Some(Fate::Stale(seconds(&mut self.rng, 3)))
        } else if is(broken) && call.service == Service::Stream {
            Some(if self.rng.bool() { Fate::IteratorExpired } else { Fate::Unavailable })
        } else if is(refused) && self.beating.contains(call.process) {
            self.rng.choice(AwsError::ALL).filter(|error| error.is_visible_in(call.operation)).map(Fate::Refused)
        } else {
            None
        }
    }
}

impl State {
    fn draw_wrong(&mut self, call: &Call<'_>, odds: u32) -> Option<Fate> {
        if odds == 0 {
            return None;
        }
        match call.operation {
            "ListShards" if self.right_lists > 0 => {
                self.right_lists -= 1;
                None
            }
            "ListShards" => (self.rng.u32(0..1_000) < odds * 10).then(|| {
                self.right_lists = RIGHT_LISTS;
                Fate::Wrong(self.rng.u32(..))
            }),
            "GetRecords" | "GetShardIterator" | "SubscribeToShard" => (self.rng.u32(0..1_000) < odds).then(|| {
                if self.rng.bool() { Fate::Refused(AwsError::ResourceNotFound) } else { Fate::Wrong(self.rng.u32(..)) }
            }),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Weather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weather").finish_non_exhaustive()
    }
}
