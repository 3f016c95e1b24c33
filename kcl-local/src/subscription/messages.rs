//! The messages of one subscription, as bytes, and what goes wrong with them.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt as _};
use tokio::time::sleep;

use super::Feed;
use crate::door::connection::Connection;
use crate::fault;
use crate::fault::layer::Cut;
use crate::fault::stream::{Script, StreamFault};
use crate::kinesis::model::ApiError;
use crate::wire::encoding::Encoding;
use crate::wire::event_stream;

/// One message an item; an error cuts the connection. Both ends of `SdkBody` want it `Sync`.
pub(crate) type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, io::Error>> + Send + Sync>>;

/// All messages of `feed`, from the initial response on.
pub(crate) fn messages(feed: Feed, encoding: Encoding, script: Script, connection: Option<Connection>) -> Messages {
    let writer = Writer { feed, encoding, script, connection, state: State::Starting };
    // The SDK asks again after the end.
    Box::pin(unfold(writer, |mut writer| async move { writer.next().await.map(|message| (message, writer)) }).fuse())
}

/// Long enough for the socket to take a message.
const SENDING: Duration = Duration::from_millis(20);

struct Writer {
    feed: Feed,
    encoding: Encoding,
    script: Script,
    /// What it goes over; `None` in process.
    connection: Option<Connection>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Telling,
    Over,
}

/// What is done to the next message.
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
            State::Telling => self.tell().await,
            State::Over => Ok(None),
        };
        match message {
            Ok(message) => message.map(Ok),
            Err(Cut) => {
                self.state = State::Over;
                Some(Err(Cut.into()))
            }
        }
    }

    async fn start(&mut self) -> Result<Option<Bytes>, Cut> {
        if self.script.is_silent() {
            self.feed.silence().await;
            return Err(Cut);
        }
        self.state = State::Telling;
        Ok(event_stream::initial_response(self.encoding).ok())
    }

    async fn tell(&mut self) -> Result<Option<Bytes>, Cut> {
        let mut damage = Damage::None;
        while let Some(fault) = self.script.before_event() {
            match fault {
                StreamFault::End => {
                    self.state = State::Over;
                    return Ok(None);
                }
                StreamFault::Error(name) => return Ok(self.fail(&name, fault::MESSAGE)),
                StreamFault::BadChecksum => damage = Damage::BadChecksum,
                StreamFault::Truncated => damage = Damage::Truncated,
                StreamFault::Stall(duration) => sleep(duration).await,
                StreamFault::Cut => {
                    self.arrival().await;
                    return Err(Cut);
                }
                StreamFault::CutConnection => {
                    if let Some(connection) = &self.connection {
                        self.arrival().await;
                        // This goes with it; an error now would reset the stream first.
                        connection.cut();
                        self.feed.silence().await;
                    }
                    return Err(Cut);
                }
                StreamFault::GoAway => self.connection.iter().for_each(Connection::go_away),
                StreamFault::Silence => {
                    self.feed.silence().await;
                    return Err(Cut);
                }
            }
        }
        let event = match self.feed.next().await {
            None => {
                self.state = State::Over;
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

    /// What was said before a cut arrives: HTTP forgets what it has not yet sent, and does not tell when it has.
    async fn arrival(&self) {
        if self.connection.is_some() {
            sleep(SENDING).await;
        }
    }

    fn fail(&mut self, name: &str, message: &str) -> Option<Bytes> {
        self.state = State::Over;
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
                self.state = State::Over;
                message.slice(..message.len() / 2)
            }
        }
    }
}
