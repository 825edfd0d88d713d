//! The CQL tables, one a file, in `schema/scylla/`: idempotent statements for a keyspace that is in use.
//!
//! They must run on ScyllaDB and on Cassandra, so they use nothing that only one of them knows.

macro_rules! tables {
    ($($name:literal,)*) => {
        /// File name and statement of each table, in the order they are to be run.
        pub const TABLES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/scylla/", $name))),)*];
    };
}

tables! {
    "0001_room_log_by_event.cql",
    "0002_chat_messages_by_event.cql",
    "0003_chat_buckets_by_event.cql",
    "0004_chat_message_ids.cql",
    "0005_chat_messages_by_user.cql",
    "0006_chat_buckets_by_user.cql",
    "0007_room_heads.cql",
    "0008_event_history.cql",
    "0009_message_reactions.cql",
    "0010_read_marks_by_event.cql",
    "0011_log_high_water.cql",
}

/// Columns that came after their table, with their type: added where they are missing.
pub const COLUMNS: &[(&str, &str, &str)] =
    &[("event_history", "hash", "text"), ("chat_message_ids", "is_moderator", "boolean")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_makes_one_table_and_says_what_it_serves() {
        let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scylla"))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort_unstable();
        assert_eq!(TABLES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), files);
        for (name, statement) in TABLES {
            assert!(statement.starts_with("-- Serves: "), "{name}");
            assert_eq!(statement.matches("CREATE TABLE IF NOT EXISTS").count(), 1, "{name}");
            let table = name.trim_end_matches(".cql").trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
            assert!(statement.contains(&format!("IF NOT EXISTS {table} (")), "{name}");
        }
    }
}
