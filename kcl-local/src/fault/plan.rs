//! Decides about the fault of each request: scripted faults first, then rules, then chaos.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::chaos::{Chaos, ChaosDraws};
use super::stream::BreakPoint;
use super::{Call, Fault};
use crate::service::Service;

type Rule = Box<dyn FnMut(&Call<'_>) -> Option<Fault> + Send>;

/// All configured faults. The first one that applies to a request is its fault: the oldest scripted
/// fault for its operation, then the rules in the order in which they were added, then chaos.
#[derive(Default)]
pub(crate) struct FaultPlan {
    latency: BTreeMap<Service, Duration>,
    scripted: BTreeMap<String, VecDeque<Fault>>,
    rules: Vec<Rule>,
    chaos: Option<ChaosDraws>,
}

/// The decision about one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Time from sending the request to the end of its answer.
    pub(crate) latency: Duration,
    pub(crate) outcome: Outcome,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The service answers.
    Answered,
    /// The service answers; if the answer is a stream of events, it breaks at this point.
    BrokenStream(BreakPoint),
    /// The service rejects the request with an error of this name.
    Rejected(String),
    /// A proxy answers with this status and page.
    Intercepted(u16, String),
    RequestLost,
    ResponseLost,
    RequestCut,
    ResponseCut,
}

impl FaultPlan {
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
        self.chaos = Some(ChaosDraws::new(chaos));
    }

    /// Removes all faults. Latencies stay.
    pub(crate) fn clear(&mut self) {
        let latency = std::mem::take(&mut self.latency);
        *self = Self { latency, ..Self::default() };
    }

    pub(crate) fn next(&mut self, call: &Call<'_>) -> Decision {
        let latency = self.latency.get(&call.service).copied().unwrap_or_default();
        let fault = self
            .scripted
            .get_mut(call.operation)
            .and_then(VecDeque::pop_front)
            .or_else(|| self.rules.iter_mut().find_map(|rule| rule(call)))
            .or_else(|| self.chaos.as_mut().and_then(|chaos| chaos.draw(call)));
        let outcome = match fault {
            None => Outcome::Answered,
            Some(Fault::Delay(delay)) => return Decision { latency: latency + delay, outcome: Outcome::Answered },
            Some(Fault::Throttle) => Outcome::Rejected("ProvisionedThroughputExceededException".to_owned()),
            Some(Fault::Error(name)) => Outcome::Rejected(name),
            Some(Fault::Answer { status, body }) => Outcome::Intercepted(status, body),
            Some(Fault::LostRequest) => Outcome::RequestLost,
            Some(Fault::LostResponse) => Outcome::ResponseLost,
            Some(Fault::CutRequest) => Outcome::RequestCut,
            Some(Fault::CutResponse) => Outcome::ResponseCut,
            Some(Fault::HeadersOnly) => Outcome::BrokenStream(BreakPoint::AfterHeaders),
            Some(Fault::Stream { after, fault }) => Outcome::BrokenStream(BreakPoint::AfterEvents(after, fault)),
        };
        Decision { latency, outcome }
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultPlan")
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
    const NO_FAULT: Decision = Decision { latency: Duration::ZERO, outcome: Outcome::Answered };

    fn with_outcome(outcome: Outcome) -> Decision {
        Decision { outcome, ..NO_FAULT }
    }

    #[test]
    fn there_are_no_faults_by_default() {
        assert_eq!(FaultPlan::default().next(&GET), NO_FAULT);
    }

    #[test]
    fn a_scripted_fault_is_used_once_and_in_order() {
        let mut plan = FaultPlan::default();
        plan.once("GetRecords", Fault::Error("KMSDisabledException".to_owned()));
        plan.once("GetRecords", Fault::LostResponse);
        assert_eq!(plan.next(&PUT), NO_FAULT);
        assert_eq!(plan.next(&GET), with_outcome(Outcome::Rejected("KMSDisabledException".to_owned())));
        assert_eq!(plan.next(&GET), with_outcome(Outcome::ResponseLost));
        assert_eq!(plan.next(&GET), NO_FAULT);
    }

    #[test]
    fn a_rule_can_select_a_caller_and_holds_until_cleared() {
        let mut plan = FaultPlan::default();
        plan.latency(Service::DynamoDb, Duration::from_millis(10));
        plan.rule(Box::new(|call| (call.caller == Some("a")).then_some(Fault::LostRequest)));
        assert_eq!(plan.next(&GET), with_outcome(Outcome::RequestLost));
        assert_eq!(plan.next(&GET), with_outcome(Outcome::RequestLost));
        plan.clear();
        assert_eq!(plan.next(&GET), NO_FAULT);
        assert_eq!(plan.next(&PUT), Decision { latency: Duration::from_millis(10), ..NO_FAULT });
    }

    #[test]
    fn scripted_faults_come_before_rules_and_rules_before_chaos() {
        let mut plan = FaultPlan::default();
        plan.chaos(Chaos { cut_request: 1.0, ..Chaos::new(1) });
        plan.rule(Box::new(|call| (call.service == Service::Kinesis).then_some(Fault::CutResponse)));
        plan.once("GetRecords", Fault::Throttle);
        assert_eq!(
            plan.next(&GET),
            with_outcome(Outcome::Rejected("ProvisionedThroughputExceededException".to_owned()))
        );
        assert_eq!(plan.next(&GET), with_outcome(Outcome::ResponseCut));
        assert_eq!(plan.next(&PUT), with_outcome(Outcome::RequestCut));
    }

    #[test]
    fn a_delay_adds_to_the_latency_of_the_service() {
        let mut plan = FaultPlan::default();
        plan.latency(Service::DynamoDb, Duration::from_millis(5));
        plan.once("PutItem", Fault::Delay(Duration::from_millis(20)));
        assert_eq!(plan.next(&PUT), Decision { latency: Duration::from_millis(25), ..NO_FAULT });
        assert_eq!(plan.next(&GET), NO_FAULT);
    }
}
