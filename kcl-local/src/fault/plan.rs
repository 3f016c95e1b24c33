//! Decides what goes wrong with a request: what was scripted for it, what the rules say, what the seed draws.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::stream::Broken;
use super::{Call, Chaos, Fault};
use crate::service::Service;

type Rule = Box<dyn FnMut(&Call<'_>) -> Option<Fault> + Send>;

/// All that was asked to go wrong. The first of these that applies to a request is its fault: the oldest scripted one for its
/// operation, the rules in the order they were added, the seeded draw.
#[derive(Default)]
pub(crate) struct Assignment {
    latency: BTreeMap<Service, Duration>,
    scripted: BTreeMap<String, VecDeque<Fault>>,
    rules: Vec<Rule>,
    chaos: Option<Chaos>,
}

/// What happens to one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// From the sending of the request to the end of its answer.
    pub(crate) latency: Duration,
    pub(crate) ending: Ending,
}

/// How far a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// To the service and back.
    Answered,
    /// To the service and, if it answers in events, some of the way back.
    Broken(Broken),
    /// To the service, which refuses it with an error of this name.
    Refused(String),
    /// To something else than the service, which answers with this status and this page.
    Intercepted(u16, String),
    RequestLost,
    ResponseLost,
    RequestCut,
    ResponseCut,
}

impl Assignment {
    pub(crate) fn latency(&mut self, service: Service, latency: Duration) {
        self.latency.insert(service, latency);
    }

    pub(crate) fn once(&mut self, operation: &str, fault: Fault) {
        self.scripted.entry(operation.to_owned()).or_default().push_back(fault);
    }

    pub(crate) fn rule(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(crate) fn chaos(&mut self, chaos: Chaos) {
        self.chaos = Some(chaos);
    }

    /// Forgets all faults. Latency stays.
    pub(crate) fn clear(&mut self) {
        let latency = std::mem::take(&mut self.latency);
        *self = Self { latency, ..Self::default() };
    }

    pub(crate) fn next(&mut self, call: &Call<'_>) -> Fate {
        let latency = self.latency.get(&call.service).copied().unwrap_or_default();
        let fault = self
            .scripted
            .get_mut(call.operation)
            .and_then(VecDeque::pop_front)
            .or_else(|| self.rules.iter_mut().find_map(|rule| rule(call)))
            .or_else(|| self.chaos.as_mut().and_then(|chaos| chaos.draw(call)));
        let ending = match fault {
            None => Ending::Answered,
            Some(Fault::Delay(delay)) => return Fate { latency: latency + delay, ending: Ending::Answered },
            Some(Fault::Throttle) => Ending::Refused("ProvisionedThroughputExceededException".to_owned()),
            Some(Fault::Error(name)) => Ending::Refused(name),
            Some(Fault::Answer { status, body }) => Ending::Intercepted(status, body),
            Some(Fault::LostRequest) => Ending::RequestLost,
            Some(Fault::LostResponse) => Ending::ResponseLost,
            Some(Fault::CutRequest) => Ending::RequestCut,
            Some(Fault::CutResponse) => Ending::ResponseCut,
            Some(Fault::HeadersOnly) => Ending::Broken(Broken::AtStart),
            Some(Fault::Stream { after, fault }) => Ending::Broken(Broken::After(after, fault)),
        };
        Fate { latency, ending }
    }
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assignment")
            .field("latency", &self.latency)
            .field("scripted", &self.scripted)
            .field("rules", &self.rules.len())
            .field("chaos", &self.chaos)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Call<'_> = Call { service: Service::Kinesis, operation: "GetRecords", caller: Some("a") };
    const PUT: Call<'_> = Call { service: Service::DynamoDb, operation: "PutItem", caller: None };
    const FINE: Fate = Fate { latency: Duration::ZERO, ending: Ending::Answered };

    fn ends(ending: Ending) -> Fate {
        Fate { ending, ..FINE }
    }

    #[test]
    fn nothing_goes_wrong_unasked() {
        assert_eq!(Assignment::default().next(&GET), FINE);
    }

    #[test]
    fn scripted_faults_hit_their_operation_in_order_and_once() {
        let mut plan = Assignment::default();
        plan.once("GetRecords", Fault::Error("KMSDisabledException".to_owned()));
        plan.once("GetRecords", Fault::LostResponse);
        assert_eq!(plan.next(&PUT), FINE);
        assert_eq!(plan.next(&GET), ends(Ending::Refused("KMSDisabledException".to_owned())));
        assert_eq!(plan.next(&GET), ends(Ending::ResponseLost));
        assert_eq!(plan.next(&GET), FINE);
    }

    #[test]
    fn a_rule_can_single_out_a_caller_and_holds_until_cleared() {
        let mut plan = Assignment::default();
        plan.latency(Service::DynamoDb, Duration::from_millis(10));
        plan.rule(Box::new(|call| (call.caller == Some("a")).then_some(Fault::LostRequest)));
        assert_eq!(plan.next(&GET), ends(Ending::RequestLost));
        assert_eq!(plan.next(&GET), ends(Ending::RequestLost));
        plan.clear();
        assert_eq!(plan.next(&GET), FINE);
        assert_eq!(plan.next(&PUT), Fate { latency: Duration::from_millis(10), ..FINE });
    }

    #[test]
    fn what_was_scripted_comes_before_the_rules_and_these_before_the_seed() {
        let mut plan = Assignment::default();
        plan.chaos(Chaos { cut_request: 1.0, ..Chaos::new(fastrand::Rng::with_seed(1)) });
        plan.rule(Box::new(|call| (call.service == Service::Kinesis).then_some(Fault::CutResponse)));
        plan.once("GetRecords", Fault::Throttle);
        assert_eq!(plan.next(&GET), ends(Ending::Refused("ProvisionedThroughputExceededException".to_owned())));
        assert_eq!(plan.next(&GET), ends(Ending::ResponseCut));
        assert_eq!(plan.next(&PUT), ends(Ending::RequestCut));
    }

    #[test]
    fn a_delay_adds_to_the_latency_of_the_service() {
        let mut plan = Assignment::default();
        plan.latency(Service::DynamoDb, Duration::from_millis(5));
        plan.once("PutItem", Fault::Delay(Duration::from_millis(20)));
        assert_eq!(plan.next(&PUT), Fate { latency: Duration::from_millis(25), ..FINE });
        assert_eq!(plan.next(&GET), FINE);
    }
}
