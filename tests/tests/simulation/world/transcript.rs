//! Formats a history for people: who did what and when, a line each; equal events at one instant
//! share a line.

use super::history::{Event, Fact, Name};
use kcl_core::lease::{Assignment, Fleet, Lease, QuarantinedKey, Row, RowKey, Session, SessionState};
use kcl_core::record::Checkpoint;
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

/// One line: an actor does something to one or more things.
#[derive(Debug, PartialEq)]
struct Line {
    /// Tenths of a second.
    at: u128,
    who: String,
    what: String,
    things: Vec<String>,
}

/// Formats the history.
pub(crate) fn transcript(events: &[Event]) -> String {
    let mut teller = Teller::default();
    events.iter().for_each(|event| teller.tell(event));
    let mut text = String::new();
    for Line { at, who, what, things } in &teller.lines {
        let _ = write!(text, "{:>4}.{}  {who:<7} {what}", at / 10, at % 10);
        if !things.is_empty() {
            let _ = write!(text, " {}", listed(things));
        }
        text.push('\n');
    }
    text
}

/// All of them, or the first and the last of many.
fn listed(things: &[String]) -> String {
    match things {
        [first, .., last] if things.len() > 8 => format!("{first} ... {last} ({})", things.len()),
        few => few.join(", "),
    }
}

#[derive(Debug, Default)]
struct Teller {
    lines: Vec<Line>,
    /// Records by their sequence numbers.
    numbers: HashMap<String, u32>,
    /// For each process and each shard that it subscribed to: true while it polls.
    polls: HashMap<(Name, String), bool>,
}

impl Teller {
    fn add(&mut self, at: Duration, who: &str, what: impl Into<String>, thing: Option<String>) {
        let (at, what) = (at.as_millis() / 100, what.into());
        // Whether events of several actors at one instant are interleaved.
        let alike =
            self.lines.iter_mut().rev().take_while(|line| line.at == at).find(|l| l.who == who && l.what == what);
        match (alike, thing) {
            (Some(line), Some(thing)) if !line.things.is_empty() => {
                if !line.things.contains(&thing) {
                    line.things.push(thing);
                }
            }
            (_, thing) => {
                self.lines.push(Line { at, who: who.to_owned(), what, things: thing.into_iter().collect() });
            }
        }
    }

    fn tell(&mut self, event: &Event) {
        let at = event.at;
        match &event.fact {
            Fact::Note(text) => self.add(at, "--", text.clone(), None),
            Fact::Put { number, sequence, .. } => {
                self.numbers.insert(sequence.clone(), *number);
                self.add(at, "--", "put: records", Some(number.to_string()));
            }
            Fact::Resharded { parents, children } => {
                let (parents, children) = (shards(parents), shards(children));
                self.add(at, "--", format!("{parents} is closed, and goes on as {children}"), None);
            }
            Fact::Started { process, worker } => self.add(at, process, format!("starts as {worker}"), None),
            Fact::BuildFailed { process, error } => self.add(at, process, format!("cannot start: {error}"), None),
            Fact::StopAsked { process, within } => {
                self.add(at, process, format!("is asked to stop within {within:?}"), None);
            }
            Fact::Ended { process, error: None } => self.add(at, process, "has ended", None),
            Fact::Ended { process, error: Some(error) } => self.add(at, process, format!("has ended: {error}"), None),
            Fact::Killed { process } => self.add(at, process, "is killed", None),
            Fact::Frozen { process } => self.add(at, process, "is frozen", None),
            Fact::Thawed { process } => self.add(at, process, "goes on", None),
            Fact::CutOff { process, from } => self.add(at, process, format!("is cut off from {from}"), None),
            Fact::Mended { process } => self.add(at, process, "is no longer cut off", None),
            Fact::ClockJumped { process, ahead } => {
                self.add(at, process, format!("finds its clock {ahead:?} ahead"), None);
            }
            Fact::Befell { process, operation, what } => self.add(at, process, format!("({operation}: {what})"), None),
            Fact::Changed { by, key, before, after, .. } => {
                let by = by.as_deref().unwrap_or("by hand");
                self.changed(at, by, key, before.as_ref(), after.as_ref());
            }
            Fact::Handed { process, shard, records, .. } => {
                let numbers: Vec<String> = records.iter().map(|record| record.number.to_string()).collect();
                let what = format!("is given, of {},", short(shard));
                numbers.into_iter().for_each(|number| self.add(at, process, what.clone(), Some(number)));
            }
            Fact::GivenUp { process, number } => {
                self.add(at, process, "gives up, to the dead letters,", Some(number.to_string()));
            }
            Fact::Failed { process, .. } => self.add(at, process, "fails to handle them", None),
            Fact::LeaseLost { process, shard } => self.add(at, process, "hears that it lost", Some(short(shard))),
            Fact::AsksToBePushed { process, shard } => {
                self.polls.insert((process.clone(), shard.clone()), false);
            }
            Fact::Pushed { process, shard } => {
                self.polls.insert((process.clone(), shard.clone()), false);
                self.add(at, process, "is pushed, from now on,", Some(short(shard)));
            }
            Fact::PushRefused { process, shard, why } => {
                self.add(at, process, format!("is not pushed {}: {why}", short(shard)), None);
            }
            Fact::Polls { process, shard } => {
                let polls = self.polls.get_mut(&(process.clone(), shard.clone()));
                if polls.is_some_and(|polls| !std::mem::replace(polls, true)) {
                    self.add(at, process, "polls", Some(short(shard)));
                }
            }
            Fact::Deleted { stream } => self.add(at, "--", "deleted: stream", Some(stream.clone())),
            Fact::MadeAgain { stream } => self.add(at, "--", "made again: stream", Some(stream.clone())),
            Fact::Serves { process, stream } => self.add(at, process, "is to serve", Some(stream.clone())),
            Fact::ServesNoMore { process, stream } => {
                self.add(at, process, "is to serve no more", Some(stream.clone()))
            }
            Fact::HasLeft { process, stream } => self.add(at, process, "has left", Some(stream.clone())),
            Fact::Strayed { process, shard, of } => {
                self.add(at, process, format!("is given, as if of {of},"), Some(short(shard)));
            }
            Fact::Calm { .. } => self.add(at, "--", "calm", None),
            Fact::MayFail { .. }
            | Fact::Sent { .. }
            | Fact::Handled { .. }
            | Fact::Acknowledged { .. }
            | Fact::Applied { .. }
            | Fact::ProcessorMade { .. }
            | Fact::ProcessorDropped { .. } => {}
        }
    }

    fn changed(&mut self, at: Duration, by: &str, key: &RowKey, before: Option<&Row>, after: Option<&Row>) {
        match (key, before, after) {
            (RowKey::Session(worker), _, None) => {
                self.add(at, by, "removes the session rows of", Some(worker.to_string()));
            }
            (RowKey::Session(_), before, Some(Row::Session(after))) => {
                self.session(at, by, before.and_then(Row::as_session), after);
            }
            (RowKey::Fleet, _, None) => self.add(at, by, "removes the fleet row", None),
            (RowKey::Fleet, before, Some(Row::Fleet(after))) => {
                self.fleet(at, by, before.and_then(Row::as_fleet), after);
            }
            (RowKey::Assignment(worker), _, None) => self.add(at, by, "removes the plans of", Some(worker.to_string())),
            (RowKey::Assignment(worker), _, Some(Row::Assignment(plan))) => self.plan(at, by, worker.as_str(), plan),
            (RowKey::Stream(id), _, None) => self.add(at, by, "removes the row of", Some(id.to_string())),
            (RowKey::Stream(id), _, Some(Row::Stream(row))) => {
                let what = if row.filled { "has filled" } else { "pins the start of" };
                self.add(at, by, what, Some(id.to_string()));
            }
            (RowKey::Lease(lease), _, None) => self.add(at, by, "removes", Some(short(lease.as_str()))),
            (RowKey::Lease(_), before, Some(Row::Lease(after))) => {
                self.lease(at, by, before.and_then(Row::as_lease), after);
            }
            (key, _, Some(_)) => self.add(at, by, "damages", Some(format!("{key:?}"))),
        }
    }

    fn session(&mut self, at: Duration, by: &str, before: Option<&Session>, after: &Session) {
        let (number, worker) = (after.number, &after.worker);
        if before.is_none_or(|before| before.number != number) {
            return self.add(at, by, format!("registers session {number} of {worker}"), None);
        }
        if before.is_some_and(|before| before.state != after.state) {
            let what = match after.state {
                SessionState::Active => "is active again".to_owned(),
                SessionState::Draining => "drains".to_owned(),
                SessionState::Left => "leaves".to_owned(),
                SessionState::Fenced => format!("fences session {number} of {worker}"),
            };
            self.add(at, by, what, None);
        }
    }

    fn fleet(&mut self, at: Duration, by: &str, before: Option<&Fleet>, after: &Fleet) {
        if before.is_none() {
            self.add(at, by, "makes the fleet row", None);
        }
        if before.is_some_and(|before| before.leader != after.leader) {
            match &after.leader {
                Some(_) => self.add(at, by, format!("plans from now on (term {})", after.term), None),
                None => self.add(at, by, "plans no more", None),
            }
        }
    }

    fn plan(&mut self, at: Duration, by: &str, worker: &str, plan: &Assignment) {
        for take in &plan.acquires {
            let from = take.owner.as_ref().map_or_else(String::new, |owner| format!(", {}'s", owner.worker));
            let thing = Some(short(take.lease.as_str()));
            self.add(at, by, format!("tells {worker} to take{from}"), thing);
        }
        for give in &plan.yields {
            self.add(at, by, format!("tells {worker} to give"), Some(short(give.lease.as_str())));
        }
    }

    fn lease(&mut self, at: Duration, by: &str, before: Option<&Lease>, after: &Lease) {
        let name = short(after.key.as_str());
        let Some(before) = before else { return self.add(at, by, "creates", Some(name)) };
        let position = self.position(&after.checkpoint);
        match (&before.owner, &after.owner) {
            _ if after.checkpoint.is_shard_end() => {
                let children: Vec<String> = after.children.iter().map(|child| child.as_str().to_owned()).collect();
                self.add(at, by, format!("ends {name}, whose children are {}", shards(&children)), None);
            }
            (old, Some(new)) if old.as_ref() != Some(new) => {
                let from = old.as_ref().map_or_else(String::new, |owner| format!(", {}'s until then,", owner.worker));
                self.add(at, by, format!("takes{from} at its checkpoint"), Some(format!("{name} ({position})")));
            }
            (Some(_), None) => self.add(at, by, "releases", Some(format!("{name} ({position})"))),
            _ if before.extras.parked != after.extras.parked => {
                let parked = self.parked(&after.extras.parked);
                self.add(at, by, format!("checkpoints {name} ({position}), with {parked} parked"), None);
            }
            _ if before.checkpoint != after.checkpoint => {
                self.add(at, by, "checkpoints", Some(format!("{name} ({position})")));
            }
            _ if before.extras.done != after.extras.done => {
                self.add(at, by, "says what is done beyond", Some(format!("{name} ({position})")));
            }
            _ => self.add(at, by, "writes", Some(name)),
        }
    }

    fn parked(&self, keys: &[QuarantinedKey]) -> String {
        let numbers = keys.iter().flat_map(|key| &key.positions);
        let numbers: Vec<String> = numbers.map(|position| self.position(&Checkpoint::At(position.clone()))).collect();
        if numbers.is_empty() { "nothing".to_owned() } else { listed(&numbers) }
    }

    fn position(&self, checkpoint: &Checkpoint) -> String {
        match checkpoint {
            Checkpoint::At(position) => match self.numbers.get(position.sequence_number.as_str()) {
                Some(number) => number.to_string(),
                None => position.to_string(),
            },
            sentinel => sentinel.as_str().to_owned(),
        }
    }
}

/// Formats `shardId-000000000012` as `#12`, after its stream if there are several.
fn short(shard: &str) -> String {
    if let Some((stream, shard)) = shard.rsplit_once(':') {
        return format!("{stream}{}", short(shard));
    }
    match shard.strip_prefix("shardId-").and_then(|digits| digits.parse::<u64>().ok()) {
        Some(number) => format!("#{number}"),
        None => shard.to_owned(),
    }
}

fn shards(shards: &[String]) -> String {
    shards.iter().map(|shard| short(shard)).collect::<Vec<_>>().join(" and ")
}
