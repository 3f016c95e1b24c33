//! What goes wrong with requests: losses, throttles and delays by chance, and workers that are cut off.

use kcl_local::{Call, Fault, Service};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a worker is cut off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Nothing,
    OnlyKinesis,
    OnlyDynamoDb,
}

#[derive(Clone, Debug)]
pub(super) struct Weather(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    calm: bool,
    /// In thousandths.
    lost: u32,
    throttled: u32,
    late: u32,
    cut_off: BTreeMap<String, Reach>,
}

impl Weather {
    /// How rough it is depends on the seed too: some fleets see crashes only.
    pub(super) fn new(mut rng: fastrand::Rng) -> Self {
        let mut chance = || [0, 5, 15, 40][rng.usize(0..4)];
        let (lost, throttled, late) = (chance(), chance(), chance());
        Weather(Arc::new(Mutex::new(State { rng, calm: false, lost, throttled, late, cut_off: BTreeMap::new() })))
    }

    pub(super) fn fate(&self, call: &Call<'_>) -> Option<Fault> {
        let caller = call.caller?;
        let mut state = self.0.lock().unwrap();
        let unreachable = match state.cut_off.get(caller) {
            None => false,
            Some(Reach::Nothing) => true,
            Some(Reach::OnlyKinesis) => call.service == Service::DynamoDb,
            Some(Reach::OnlyDynamoDb) => call.service == Service::Kinesis,
        };
        if unreachable {
            return Some(Fault::LostRequest);
        }
        if state.calm {
            return None;
        }
        let (lost, throttled, late) = (state.lost, state.throttled, state.late);
        let drawn = state.rng.u32(0..1_000);
        if drawn < lost {
            Some(Fault::LostRequest)
        } else if drawn < 2 * lost {
            Some(Fault::LostResponse)
        } else if drawn < 2 * lost + throttled {
            Some(Fault::Throttle)
        } else if drawn < 2 * lost + throttled + late {
            // Half of it passes before the request has its effect.
            Some(Fault::Delay(Duration::from_millis(state.rng.u64(1..12_000) * state.rng.u64(1..3))))
        } else {
            None
        }
    }

    pub(super) fn cut_off(&self, caller: &str, reach: Reach) {
        self.0.lock().unwrap().cut_off.insert(caller.to_owned(), reach);
    }

    pub(super) fn reconnect(&self, caller: &str) {
        self.0.lock().unwrap().cut_off.remove(caller);
    }

    /// No faults any more. What they delayed is still on its way, and the dead stay dead.
    pub(super) fn calm(&self) {
        self.0.lock().unwrap().calm = true;
    }
}
