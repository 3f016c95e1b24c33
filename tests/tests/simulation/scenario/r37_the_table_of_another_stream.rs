//! R37. *Given* the table of a fleet that has stopped; *when* its stream is deleted and created
//! again under the same name, and a worker starts; *then* the worker refuses to run, with the
//! reason and the remedy.

use super::play;
use crate::world::Making;
use crate::world::stream::STREAM;
use kcl_local::kinesis::model::{CreateStreamInput, DeleteStreamInput};
use std::time::Duration;

#[test]
fn r37_a_stream_that_was_made_again_is_refused_on_the_old_table() {
    play("r37_the_table_of_another_stream", Making::new(37, 1), async |mut world| {
        world.fleet(&["ann"]).await;
        world.stream.put(5);
        world.until_handled(Duration::from_secs(5)).await;
        world.stop("ann", Duration::from_secs(25));
        world.seconds(5).await;
        world.note("when the stream is deleted and made again");
        let name = Some(STREAM.to_owned());
        world.stream.try_ask(DeleteStreamInput { stream_name: name.clone(), ..DeleteStreamInput::default() }).unwrap();
        world.seconds(5).await;
        let create = CreateStreamInput { stream_name: name, shard_count: Some(1), ..CreateStreamInput::default() };
        world.stream.try_ask(create).unwrap();
        world.start("ben");
        world.may_fail("ben");
        world.until("refused", Duration::from_secs(5), |world| world.error_of("ben").is_some()).await;
        let error = world.error_of("ben").unwrap();
        assert!(error.contains("deleted and made again") && error.contains("KCL-0012"), "{error}");
        assert_eq!(world.rows().fleet, None, "nothing was written");
        world
    });
}
