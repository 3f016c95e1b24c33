//! R33. *Given* a table with rows of an unknown kind, and unknown attributes on known rows, and
//! more workers than shards; *when* the fleet runs and stops; *then* it works as usual, and
//! everything unknown is still there.

use super::play;
use crate::world::{APPLICATION, Making, Tier, World};
use aws_sdk_dynamodb::types::AttributeValue;
use std::time::Duration;

async fn value(world: &World, key: &str, attribute: &str) -> Option<String> {
    let client = world.dynamodb();
    let item = client.get_item().table_name(APPLICATION).key("leaseKey", AttributeValue::S(key.to_owned())).send();
    item.await.unwrap().item?.get(attribute)?.as_s().ok().cloned()
}

async fn mark(world: &World, key: &str) {
    let update = world.dynamodb().update_item().table_name(APPLICATION);
    let update = update.key("leaseKey", AttributeValue::S(key.to_owned())).update_expression("SET future = :f");
    update.expression_attribute_values(":f", AttributeValue::S("kept".to_owned())).send().await.unwrap();
}

#[test]
fn r33_rows_and_attributes_of_other_versions_are_left_alone() {
    let making = Making { tier: Tier::Wire, ..Making::new(33, 2) };
    play("r33_rows_and_attributes_of_others", making, async |mut world| {
        world.fleet(&["ann"]).await;
        let future = world.dynamodb().put_item().table_name(APPLICATION);
        let future = future.item("leaseKey", AttributeValue::S("future/thing".to_owned()));
        future.item("entityType", AttributeValue::S("KCL_FUTURE".to_owned())).send().await.unwrap();
        for key in ["shardId-000000000000", "session/ann", "fleet", "future/thing"] {
            mark(&world, key).await;
        }
        ["ben", "cat"].iter().for_each(|name| drop(world.start(name)));
        world.until_shared(&[("ann", 1), ("ben", 1)], Duration::from_secs(10)).await;
        world.stream.put(20);
        world.until_handled(Duration::from_secs(5)).await;
        world.seconds(70).await;
        for key in ["shardId-000000000000", "session/ann", "fleet"] {
            assert_eq!(value(&world, key, "future").await.as_deref(), Some("kept"), "{key}");
        }
        for name in ["ann", "ben", "cat"] {
            world.stop(name, Duration::from_secs(25));
            world.until("ended", Duration::from_secs(30), |world| world.process(name).has_ended()).await;
        }
        for key in ["shardId-000000000000", "future/thing"] {
            assert_eq!(value(&world, key, "future").await.as_deref(), Some("kept"), "{key} after the end");
        }
        world
    });
}
