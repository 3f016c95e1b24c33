//! Handles another process that registered the same worker id. This process waits until that session has ended or is
//! proven stale, and gives up as soon as it is proven alive, so that a second process never replaces a live one.

use super::{Session, SessionEvent, State};
use crate::coordination::call::CallId;
use crate::coordination::effects::Effects;
use crate::coordination::event::CoordinationEvent;
use crate::coordination::liveness::{Liveness, Pulse};
use crate::lease::Write;
use crate::lease::row::{Session as SessionRow, SessionNumber};

/// The session of the other process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Twin {
    row: SessionRow,
    liveness: Liveness,
}

impl Twin {
    /// The write that ends the stale session, on condition that its heartbeat has not changed since.
    fn fence(&self) -> Write {
        Write::Fence { worker: self.row.worker.clone(), number: self.row.number, heartbeat: self.row.heartbeat }
    }
}

impl Session {
    /// A session that has not ended refused the registration of `number`.
    pub(super) fn contend(
        &mut self,
        number: SessionNumber,
        twin: Option<Box<Twin>>,
        row: &SessionRow,
        effects: &mut Effects,
    ) -> SessionEvent {
        let failover_time = row.failover_time(self.failover_time);
        let (mut twin, mut pulse) = match twin {
            Some(twin) => (twin, Pulse::Unknown),
            None => {
                effects.emit(CoordinationEvent::WorkerIdInUse {
                    worker: row.worker.clone(),
                    session: row.number,
                    process: row.profile.process.clone(),
                    at_most: failover_time,
                });
                let liveness = Liveness::new(row, effects.now);
                let gone = row.profile.process.as_ref().is_some_and(|process| self.process.has_exited(process));
                let pulse = if gone { Pulse::Silent } else { Pulse::Unknown };
                (Box::new(Twin { row: row.clone(), liveness }), pulse)
            }
        };
        twin.row.clone_from(row);
        if pulse == Pulse::Unknown {
            pulse = twin.liveness.look(row, effects.now, failover_time);
        }
        let first_sent = self.first_sent();
        match pulse {
            Pulse::Unknown => {
                effects.set_timer(super::TIMER, twin.liveness.next_look(effects.now, failover_time));
                self.state = State::Contending { number, first_sent, twin };
                SessionEvent::Nothing
            }
            Pulse::Silent => {
                let write = twin.fence();
                effects.write(CallId::Session, write.clone());
                self.state = State::Displacing { number, first_sent, write: Box::new(write) };
                SessionEvent::Nothing
            }
            Pulse::Alive => {
                self.state = State::Over;
                SessionEvent::HeldByAnother { session: row.number, process: row.profile.process.clone() }
            }
        }
    }
}
