//! `millstream group …`: consumer groups and their lag.

use crate::failure::Failure;
use crate::output::{Listing, OutputFormat, visible};
use clap::{Args, Subcommand};
use millstream_rust::rpc::data::{
    DeleteGroupRequest, DescribeGroupRequest, FetchOffsetsRequest, ListGroupsRequest, Partition,
};
use millstream_rust::{Client, Error, Position};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;

/// `millstream group`.
#[derive(Args, Clone, Debug)]
pub struct GroupArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Lists the groups
    List,
    /// Shows a group's members, offsets and lag
    Describe {
        /// The group
        name: String,
    },
    /// Deletes an empty group and its offsets
    Delete {
        /// The group
        name: String,
    },
}

pub(super) async fn run(client: &Client, args: GroupArgs, output: OutputFormat) -> Result<(), Failure> {
    match args.action {
        Action::List => {
            let found = client
                .data()
                .list_groups(ListGroupsRequest {})
                .await
                .map_err(Error::from)?
                .into_inner();
            let mut listing = Listing::new(&["group", "state", "protocol_type"]);
            for it in found.groups {
                listing.row(vec![it.group.into(), it.state.into(), it.protocol_type.into()]);
            }
            Ok(listing.print(output)?)
        }
        Action::Describe { name } => describe(client, name, output).await,
        Action::Delete { name } => {
            client
                .data()
                .delete_group(DeleteGroupRequest { group: name })
                .await
                .map_err(Error::from)?;
            Ok(())
        }
    }
}

async fn describe(client: &Client, name: String, output: OutputFormat) -> Result<(), Failure> {
    let asked = DescribeGroupRequest { group: name.clone() };
    let group = client
        .data()
        .describe_group(asked)
        .await
        .map_err(Error::from)?
        .into_inner();
    let asked = FetchOffsetsRequest {
        group: name,
        partitions: Vec::new(),
    };
    let offsets = client
        .data()
        .fetch_offsets(asked)
        .await
        .map_err(Error::from)?
        .into_inner()
        .offsets;
    let mut owners: BTreeMap<(String, u32), String> = BTreeMap::new();
    for member in group.members {
        for Partition { topic, index } in member.assignment {
            owners.insert(
                (topic, index),
                format!("{} ({})", member.member_id, member.client_host),
            );
        }
    }
    let mut listing = Listing::new(&["topic", "partition", "offset", "end", "lag", "member"]);
    for it in offsets {
        let Some(Partition { topic, index }) = it.partition else {
            continue;
        };
        let end = first(client, &topic, index, Position::Latest).await?;
        // Below its start a partition has nothing left to read.
        let start = match it.offset < end {
            true => first(client, &topic, index, Position::Earliest).await?,
            false => end,
        };
        let owner = owners.remove(&(topic.clone(), index));
        listing.row(vec![
            topic.into(),
            index.into(),
            it.offset.into(),
            end.into(),
            lag(it.offset, start, end).into(),
            owner.into(),
        ]);
    }
    for ((topic, index), owner) in owners {
        listing.row(vec![
            topic.into(),
            index.into(),
            Value::Null,
            Value::Null,
            Value::Null,
            owner.into(),
        ]);
    }
    let summary = group.group.unwrap_or_default();
    if output == OutputFormat::Table {
        let line = format!(
            "group {} is {} ({})",
            summary.group, summary.state, group.protocol
        );
        writeln!(std::io::stdout(), "{}", visible(&line))?;
    }
    Ok(listing.print(output)?)
}

/// Where a position is in a partition.
async fn first(client: &Client, topic: &str, index: u32, position: Position) -> Result<i64, Error> {
    let found = client.list_offsets(topic, &[index], position).await?;
    Ok(found.first().copied().unwrap_or(-1))
}

/// How many offsets are left to read for who has committed `offset`: of those that are there, and never less than none,
/// whatever was committed.
fn lag(offset: i64, start: i64, end: i64) -> i64 {
    end.saturating_sub(offset.max(start)).max(0)
}

#[cfg(test)]
mod tests {
    use super::lag;

    #[test]
    fn the_lag_is_what_is_left_to_read() {
        for (offset, start, end, left) in [
            (2, 0, 10, 8),
            (10, 0, 10, 0),
            (2, 10, 10, 0),
            (2, 5, 10, 5),
            (110, 0, 10, 0),
            (-1, 3, 10, 7),
        ] {
            assert_eq!(lag(offset, start, end), left, "{offset} in {start}..{end}");
        }
    }
}
