//! What helps to find a fault: versions, device, model and the latest errors. No image, and no name of one.

use std::fmt::Write as _;

use super::{Engine, State, Status};
use crate::page::protocol::PROTOCOL_VERSION;

/// Errors that are kept.
const MOST: usize = 20;

impl State {
    /// Keeps an error for [`Self::diagnostics`].
    pub(super) fn write_down(&mut self, error: &str) {
        if self.log.last().map(|last| &**last) == Some(error) {
            return;
        }
        if self.log.len() == MOST {
            self.log.remove(0);
        }
        self.log.push(error.into());
    }

    /// Lines to send along with a report of a fault.
    pub fn diagnostics(&self) -> String {
        let mut text = format!(
            "destseg {}, protocol {PROTOCOL_VERSION}\nengine: {}, {} crashes\n",
            env!("CARGO_PKG_VERSION"),
            match &self.engine {
                Engine::Running => "running",
                Engine::Stopped(_) => "stopped",
                Engine::Starting | Engine::Listening | Engine::Preparing => "starting",
            },
            self.crashes
        );
        // writing to a text cannot fail
        if let Some(device) = &self.device {
            let _ = writeln!(text, "device: {}, {}", device.backend.id(), device.adapter);
        }
        if let Some(model) = &self.model {
            let info = &model.info;
            let _ = writeln!(
                text,
                "model: {}, {}, {} px, {}",
                info.method.label(),
                info.preset,
                info.input_size,
                info.teacher
            );
        }
        let failed = |status: &Status| match status {
            Status::Failed(message) => Some(message.clone()),
            _ => None,
        };
        let of_images = self
            .items
            .iter()
            .filter_map(|item| failed(&item.status))
            .take(MOST);
        for error in self.log.iter().cloned().chain(of_images) {
            let _ = writeln!(text, "error: {error}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Page;
    use super::super::{Action, Engine};
    use crate::page::shared::content::UserFile;

    #[test]
    fn errors_are_told_and_names_of_images_are_not() {
        let mut page = Page::ready();
        for number in 0..30 {
            page.act(Action::Notify(format!("Error {number}.")));
        }
        let file = UserFile {
            path: "secret.png".into(),
            content: Err("It is cut off.".into()),
        };
        page.act(Action::Add(vec![file].into()));
        let text = page.0.diagnostics();
        assert!(
            text.starts_with(concat!("destseg ", env!("CARGO_PKG_VERSION"))),
            "{text}"
        );
        assert!(text.contains("running") && text.contains("1 thread") && text.contains("compact"));
        assert!(
            text.contains("Error 29.") && text.contains("It is cut off."),
            "{text}"
        );
        assert!(!text.contains("Error 9.") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn a_stopped_engine_is_told_with_its_last_words() {
        let mut page = Page::ready();
        while !matches!(page.0.engine, Engine::Stopped(_)) {
            page.fatal();
            if page.0.engine == Engine::Starting {
                page.bring_up();
            }
        }
        let text = page.0.diagnostics();
        assert!(
            text.contains("stopped") && text.contains("error: The engine stopped."),
            "{text}"
        );
    }
}
