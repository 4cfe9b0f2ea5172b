//! The page's engine: takes [`Command`]s in a Web Worker, one at a time, and answers with
//! [`Event`]s. A crash stays in the worker and ends as a message.
//!
//! There are two engines with one protocol, which can do the same. The CPU engine has no Burn and is a fraction of the GPU
//! engine's size; the page fetches the GPU engine only where a graphics card waits.

mod collection;
mod compare;
mod download;
mod engine;
mod evaluate;
mod loaded;
mod pool;
mod predict;
mod queue;
mod run;
mod study;
mod training;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Function, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::page::protocol::{Command, Event, PROTOCOL_VERSION};
use crate::page::shared;
use destseg_engine::platform::yield_now;
use engine::Engine;
use pool::Owner;

/// A message for the engine, with the content of the buffer that came with it.
enum Message {
    /// A command of the page.
    Command(Command, Vec<u8>),
    /// An event of the owner's helper with this number.
    Helper(Owner, usize, Event, Vec<u8>),
}

/// Puts a message into the inbox.
type Deliver = Rc<dyn Fn(Message)>;

/// Messages that wait for the engine.
#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Message>,
    busy: bool,
}

/// Installs the handlers and tells the page that it may talk.
pub fn run() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        post_fatal(&format!(
            "The engine stopped unexpectedly ({}).",
            first_line(&info.to_string())
        ));
    }));
    if construct().is_err() {
        post_fatal("The engine arrived incomplete: reload the page.");
        return;
    }
    let inbox = Rc::new(RefCell::new(Inbox::default()));
    let engine = Rc::new(RefCell::new(None));
    let deliver: Deliver = {
        let engine = engine.clone();
        Rc::new(move |job| {
            inbox.borrow_mut().waiting.push_back(job);
            if !std::mem::replace(&mut inbox.borrow_mut().busy, true) {
                spawn_local(work(inbox.clone(), engine.clone()));
            }
        })
    };
    engine.replace(Some(Engine::new(deliver.clone())));
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        let Some((command, buffer)) = shared::decode::<Command>(&event.data()) else {
            post_fatal("The page sent a message that this engine does not understand: reload the page.");
            return;
        };
        deliver(Message::Command(command, content(buffer)));
    });
    let scope = scope();
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    // out of memory is no panic: it only shows as a promise that failed
    let on_rejection = Closure::<dyn Fn(JsValue)>::new(|_| {
        post_fatal("The engine stopped unexpectedly, perhaps for lack of memory.");
    });
    // where even this listener cannot be added, only that one message is lost
    let _added =
        scope.add_event_listener_with_callback("unhandledrejection", on_rejection.as_ref().unchecked_ref());
    on_rejection.forget();
    post(
        &Event::Ready {
            protocol: PROTOCOL_VERSION,
        },
        None,
    );
}

/// Has statics register themselves, once and before all else: `build.rs` keeps the linker from doing so.
fn construct() -> Result<(), JsValue> {
    let constructors = Reflect::get(&wasm_bindgen::exports(), &"__wasm_call_ctors".into())?;
    let constructors: Function = constructors.dyn_into()?;
    constructors.call0(&JsValue::UNDEFINED).map(|_| ())
}

/// What a buffer holds.
fn content(buffer: Option<ArrayBuffer>) -> Vec<u8> {
    buffer.map_or_else(Vec::new, |buffer| Uint8Array::new(&buffer).to_vec())
}

/// Works the inbox off.
async fn work(inbox: Rc<RefCell<Inbox>>, slot: Rc<RefCell<Option<Engine>>>) {
    let taken = slot.borrow_mut().take();
    let Some(mut engine) = taken else { return };
    loop {
        let next = inbox.borrow_mut().waiting.pop_front();
        match next {
            Some(Message::Command(command, bytes)) => engine.handle(command, bytes).await,
            Some(Message::Helper(owner, number, event, bytes)) => {
                engine.on_event(owner, number, event, &bytes);
            }
            None if engine.is_working() => {
                engine.work().await;
                // commands are taken between two steps
                yield_now().await;
            }
            None => break,
        }
    }
    slot.replace(Some(engine));
    inbox.borrow_mut().busy = false;
}

fn first_line(text: &str) -> &str {
    text.lines()
        .nth(1)
        .or_else(|| text.lines().next())
        .unwrap_or("unknown reason")
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Sends an event with an optional buffer, which is transferred.
fn post(event: &Event, buffer: Option<&ArrayBuffer>) {
    let Ok(envelope) = shared::encode(event, buffer) else {
        return;
    };
    // the page is gone if this fails, and with it everyone who could be told
    let _sent = scope().post_message_with_transfer(&envelope.message, &envelope.transfer);
}

fn post_fatal(message: &str) {
    post(
        &Event::Fatal {
            message: message.into(),
        },
        None,
    );
}
