//! R30. *Given* a worker that lacks one permission; *when* it starts; *then* it ends at once with
//! an error that names the action and the resource, and makes few calls. (The fleet tests cover
//! each action of the policy, at a start and in a running fleet.)

use super::play;
use crate::world::refusal::AwsError;
use crate::world::weather::Fate;
use crate::world::{Making, Tier};
use std::time::Duration;

#[test]
fn r30_a_missing_permission_is_named_and_the_process_does_not_spin() {
    let making = Making { tier: Tier::Wire, ..Making::new(30, 1) };
    play("r30_a_permission_that_is_missing", making, async |mut world| {
        world.note("given ann, which may not read the whole table");
        world.weather.rule(|call| (call.operation == "Scan").then_some(Fate::Refused(AwsError::AccessDenied)));
        world.start("ann");
        world.may_fail("ann");
        world.until("ended", Duration::from_secs(20), |world| world.error_of("ann").is_some()).await;
        let error = world.error_of("ann").unwrap();
        assert!(error.contains("`dynamodb:Scan`") && error.contains("table `delays`"), "{error}");
        assert!(error.contains("KCL-0006"), "{error}");
        assert!(world.weather.calls() < 30, "{} calls", world.weather.calls());
        world
    });
}
