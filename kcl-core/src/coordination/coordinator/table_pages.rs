//! Passes the pages of full reads to [`TableReads`](crate::coordination::table_read::TableReads), and each page to the
//! component that wants it at once.

use super::Coordinator;
use crate::clock::Time;
use crate::coordination::call::{Answer, Answered, CallId, Failure, LeaderCall, StartCall, TimerId};
use crate::coordination::event::CoordinationEvent;
use crate::coordination::table_read::{Next, Report};
use crate::lease::Page;

impl Coordinator {
    /// Takes the answer to a call for a page. Returns all other answers, and the answer to the whole read at its end.
    pub(super) fn take_page(&mut self, answered: Answered) -> Option<Answered> {
        let Answered { id, generation, sent, answer } = answered;
        if !self.effects.table_reads.awaits(&id, generation) {
            return Some(Answered { id, generation, sent, answer });
        }
        let is_registered = self.session.number().is_some();
        let now = self.effects.now;
        let next = match answer {
            Answer::Page(Ok(page)) => {
                let next = self.effects.table_reads.on_page(&id, page.clone(), sent, now, &mut self.effects.rng);
                self.on_page(&id, &page, sent);
                next
            }
            Answer::Page(Err(failure)) => {
                if let (CallId::Leader(LeaderCall::ReadTable), Some(term)) = (&id, &mut self.per_session.term) {
                    term.on_page_failed();
                }
                if let (Failure::Refused(refusal), true) = (&failure, is_registered) {
                    self.on_refusal(&id, refusal);
                    if !self.effects.is_current(&id, generation) {
                        return None;
                    }
                }
                let rng = &mut self.effects.rng;
                self.effects.table_reads.on_failure(&id, failure, is_registered, now, rng)
            }
            answer @ (Answer::Written(_) | Answer::Rows(_) | Answer::Table(_) | Answer::Listing(_)) => {
                return Some(Answered { id, generation, sent, answer });
            }
        };
        let (answer, report) = match next? {
            Next::Page { at, report } => {
                // Also for a page that is due at once: the loop over due timers makes the call in this step.
                self.effects.set_timer(TimerId::NextPage(id.clone()), at);
                (None, report)
            }
            Next::Done { table, report } => (Some(Ok(*table)), report),
            Next::Failed(failure) => (Some(Err(failure)), None),
        };
        match report {
            Some(Report::Stalled { pages, stalled, failure }) => {
                self.effects.emit(CoordinationEvent::TableReadStalled { pages, stalled, failure });
            }
            Some(Report::Resumed { stalled }) => self.effects.emit(CoordinationEvent::TableReadResumed { stalled }),
            None => {}
        }
        answer.map(|answer| Answered { id, generation, sent, answer: Answer::Table(answer) })
    }

    /// Each page is evidence as of its own call, however long the rest of the read takes.
    fn on_page(&mut self, id: &CallId, page: &Page, sent: Time) {
        if *id == CallId::Start(StartCall::ReadTable) {
            self.startup.on_page(page, sent, &self.effects);
        } else if *id == CallId::Leader(LeaderCall::ReadTable)
            && let Some(term) = &mut self.per_session.term
        {
            term.on_page(page, sent, self.session.heartbeat(), &mut self.effects);
        }
    }
}
