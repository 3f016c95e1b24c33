//! How pages of full reads reach the parts that asked for the whole table, and what each page shows by itself.

use super::coordinator::Coordinator;
use super::effects::{Answer, Answered, CallId, Failure};
use super::table_read::{Next, Report};
use crate::clock::Time;
use crate::config::timing;
use crate::coordination::event::CoordinationEvent;
use crate::lease::Page;

impl Coordinator {
    /// Takes an answer to a call for a page: what is left is an answer to the part that reads.
    pub(super) fn turn_page(&mut self, answered: Answered) -> Option<Answered> {
        let Answered { part, life, sent, answer } = answered;
        if !self.reads.awaits(&part, life) {
            return Some(Answered { part, life, sent, answer });
        }
        let is_registered = self.session.number().is_some();
        let (now, rng) = (self.effects.now, &mut self.effects.rng);
        let next = match answer {
            Answer::Page(page) => {
                let shown = self.reads.on_page(&part, page.clone(), sent, now, rng);
                self.on_page(&part, &page, sent);
                shown
            }
            Answer::Failed(failure) => {
                if let (CallId::Cycle, Some(term)) = (&part, &mut self.term) {
                    term.on_page_failed();
                }
                if let (Failure::Refused(refusal), true) = (&failure, is_registered) {
                    self.on_refusal(&part, refusal);
                    if !self.effects.is_current(&part, life) {
                        return None;
                    }
                }
                let rng = &mut self.effects.rng;
                self.reads.on_failure(&part, failure, is_registered, now, rng)
            }
            answer @ (Answer::Written(_) | Answer::Rows(_) | Answer::Table(_) | Answer::Listing(_)) => {
                return Some(Answered { part, life, sent, answer });
            }
        };
        let (answer, report) = match next? {
            Next::Ask { at, report } => {
                // Also a page that is due at once: the loop of due timers asks for it in this step.
                self.effects.remind(CallId::Page(Box::new(part.clone())), at);
                (None, report)
            }
            Next::Done { table, report } => (Some(Answer::Table(*table)), report),
            Next::Failed(failure) => (Some(Answer::Failed(failure)), None),
        };
        match report {
            Some(Report::Stalled { pages, stalled, failure }) => {
                self.effects.tell(CoordinationEvent::TableReadStalled { pages, stalled, failure });
            }
            Some(Report::Resumed { stalled }) => self.effects.tell(CoordinationEvent::TableReadResumed { stalled }),
            None => {}
        }
        answer.map(|answer| Answered { part, life, sent, answer })
    }

    /// A page of a full read came: what it shows is evidence as of now, however long the rest acquires.
    fn on_page(&mut self, part: &CallId, page: &Page, sent: Time) {
        let heartbeat = self.session.heartbeat();
        match (part, &mut self.starting, &mut self.term) {
            (CallId::Start, Some(start), _) => start.on_page(page, sent, &self.effects),
            (CallId::Cycle, _, Some(term)) => term.on_page(page, sent, heartbeat, &mut self.effects),
            _ => {}
        }
    }

    /// Until there is a session, whose heartbeats and polls show that the table can be reached.
    pub(super) fn remind_of_contact(&mut self) {
        if self.starting.is_some() {
            let gap = timing::longest_gap(self.settings.failover_time, self.settings.fleet_poll_interval);
            self.effects.remind(CallId::Contact, self.effects.now + gap / 4);
        }
    }
}
