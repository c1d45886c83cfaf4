//! Lines for tired people: a label, a text, nothing wider than a terminal.

use crate::encoding::Digest;

const WIDTH: usize = 92;
const LABEL: usize = 12;

/// A text that grows line by line.
#[derive(Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// A line that stands alone.
    pub fn line(&mut self, text: &str) {
        self.wrapped("", 0, text);
    }

    /// A label in the margin and a text beside it.
    pub fn field(&mut self, label: &str, text: &str) {
        self.wrapped(label, LABEL, text);
    }

    /// A text below the one before, further in.
    pub fn below(&mut self, text: &str) {
        self.wrapped("", LABEL + 2, text);
    }

    /// A digest as words, six on each line.
    pub fn words(&mut self, label: &str, digest: &Digest) {
        let words = digest.words();
        let words: Vec<&str> = words.split(' ').collect();
        for (place, half) in words.chunks(6).enumerate() {
            self.field(if place == 0 { label } else { "" }, &half.join(" "));
        }
    }

    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    pub fn finish(self) -> String {
        self.text
    }

    fn wrapped(&mut self, label: &str, indent: usize, text: &str) {
        // Names of files come from the medium: nothing of them may move the cursor or turn the line around.
        let text: String = text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect();
        let mut line = format!("{label:indent$}");
        let mut width = line.chars().count();
        let start = width;
        for word in text.split(' ') {
            let length = word.chars().count();
            if width > start && width + 1 + length > WIDTH {
                self.text.push_str(line.trim_end());
                self.text.push('\n');
                line = " ".repeat(indent);
                width = indent;
            } else if width > start {
                line.push(' ');
                width += 1;
            }
            line.push_str(word);
            width += length;
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

fn is_plain(c: char) -> bool {
    crate::transcript::document::is_text(c.encode_utf8(&mut [0; 4]))
}

/// `1 copy`, `2 copies`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `alice`, `alice and bob`, `alice, bob and carol`.
pub(super) fn names<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    match names.as_slice() {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
