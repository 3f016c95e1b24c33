//! Encodes the messages of one subscription, and applies the stream's fault.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt as _};
use tokio::time::sleep;

use super::Feed;
use crate::fault;
use crate::fault::executor::Cut;
use crate::fault::stream::{Script, StreamFault};
use crate::frontend::connection::Connection;
use crate::kinesis::model::ApiError;
use crate::wire::encoding::Encoding;
use crate::wire::event_stream;

/// One message per item; an error cuts the connection. `Sync`, because `SdkBody` requires it.
pub(crate) type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, io::Error>> + Send + Sync>>;

/// The messages of `feed`, beginning with the initial response.
pub(crate) fn messages(feed: Feed, encoding: Encoding, script: Script, connection: Option<Connection>) -> Messages {
    let writer = Writer { feed, encoding, script, connection, state: State::Starting };
    // Fused, because the SDK polls again after the end.
    Box::pin(unfold(writer, |mut writer| async move { writer.next().await.map(|message| (message, writer)) }).fuse())
}

/// Time for the socket to send the pending messages.
const FLUSH_TIME: Duration = Duration::from_millis(20);

struct Writer {
    feed: Feed,
    encoding: Encoding,
    script: Script,
    /// The connection, or `None` in process.
    connection: Option<Connection>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Streaming,
    Ended,
}

/// The damage of the next message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Damage {
    None,
    BadChecksum,
    Truncated,
}

impl Writer {
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        let message = match self.state {
            State::Starting => self.start().await,
            State::Streaming => self.next_message().await,
            State::Ended => Ok(None),
        };
        match message {
            Ok(message) => message.map(Ok),
            Err(Cut) => {
                self.state = State::Ended;
                Some(Err(Cut.into()))
            }
        }
    }

    async fn start(&mut self) -> Result<Option<Bytes>, Cut> {
        if self.script.is_silent() {
            self.feed.until_shutdown().await;
            return Err(Cut);
        }
        self.state = State::Streaming;
        Ok(event_stream::initial_response(self.encoding).ok())
    }

    async fn next_message(&mut self) -> Result<Option<Bytes>, Cut> {
        let mut damage = Damage::None;
        while let Some(fault) = self.script.before_event() {
            match fault {
                StreamFault::End => {
                    self.state = State::Ended;
                    return Ok(None);
                }
                StreamFault::Error(name) => return Ok(self.fail(&name, fault::MESSAGE)),
                StreamFault::BadChecksum => damage = Damage::BadChecksum,
                StreamFault::Truncated => damage = Damage::Truncated,
                StreamFault::Stall(duration) => sleep(duration).await,
                StreamFault::Cut => {
                    self.flush().await;
                    return Err(Cut);
                }
                StreamFault::CutConnection => {
                    if let Some(connection) = &self.connection {
                        self.flush().await;
                        // The cut ends this stream too. An error here would reset the stream before
                        // the connection.
                        connection.cut();
                        self.feed.until_shutdown().await;
                    }
                    return Err(Cut);
                }
                StreamFault::GoAway => self.connection.iter().for_each(Connection::go_away),
                StreamFault::Silence => {
                    self.feed.until_shutdown().await;
                    return Err(Cut);
                }
            }
        }
        let event = match self.feed.next().await {
            None => {
                self.state = State::Ended;
                return Ok(None);
            }
            Some(event) => event,
        };
        self.script.event_sent();
        match event.and_then(|event| event_stream::event(self.encoding, &event)) {
            Ok(message) => Ok(Some(self.damaged(message, damage))),
            Err(ApiError { code, message }) => Ok(self.fail(code.event_name(), &message)),
        }
    }

    /// Gives the socket time to send earlier messages, because a cut drops unsent ones, and HTTP
    /// does not report when they are sent.
    async fn flush(&self) {
        if self.connection.is_some() {
            sleep(FLUSH_TIME).await;
        }
    }

    fn fail(&mut self, name: &str, message: &str) -> Option<Bytes> {
        self.state = State::Ended;
        event_stream::exception(self.encoding, name, message).ok()
    }

    fn damaged(&mut self, message: Bytes, damage: Damage) -> Bytes {
        match damage {
            Damage::None => message,
            Damage::BadChecksum => {
                let mut bytes = message.to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 0xff;
                }
                bytes.into()
            }
            Damage::Truncated => {
                self.state = State::Ended;
                message.slice(..message.len() / 2)
            }
        }
    }
}
