//! Who a message mentions: `@username` of members, parsed once, when it is published.

use std::collections::BTreeSet;

use confab_protocol::limits::MENTIONS_MAX;
use confab_protocol::model::{Body, RoomId, UserId, Username};
use confab_protocol::reject::Reject;

use super::Core;

impl Core {
    /// The members that a body mentions, in the order of their names; nobody outside the room is looked up.
    pub(super) async fn find_mentions(&self, room: RoomId, body: &Body) -> Result<Vec<UserId>, Reject> {
        let names = mentioned_names(body.as_str());
        if names.is_empty() {
            return Ok(Vec::new());
        }
        self.store.find_members(room, names).await.map_err(|error| self.unavailable(&error))
    }
}

/// Names behind an `@` that begins a word; at most [`MENTIONS_MAX`], each once.
fn mentioned_names(text: &str) -> Vec<Username> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices('@') {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        if before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name = after.split(|c| !is_name(c)).next().unwrap_or_default();
        // A dot behind a name ends the sentence.
        if let Ok(name) = Username::parse(name.trim_end_matches(['.', '-'])) {
            names.insert(name);
        }
        if names.len() == MENTIONS_MAX {
            break;
        }
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_words_and_sentences_may_end_behind_them() {
        for (text, expected) in [
            ("@alice and @Bob.", vec!["alice", "bob"]),
            ("mail to bob@example.org", vec![]),
            ("(@alice) @alice @@carol", vec!["alice", "carol"]),
            ("@\u{e9}mile @a.b-c", vec!["a.b-c"]),
            ("@", vec![]),
        ] {
            let found = mentioned_names(text);
            assert_eq!(found.iter().map(Username::as_str).collect::<Vec<_>>(), expected, "{text}");
        }
        let many: String = (0..100).map(|n| format!("@user{n} ")).collect();
        assert_eq!(mentioned_names(&many).len(), MENTIONS_MAX);
    }
}
