//! Components that are more than a host can take, before anything of them runs.

use crate::place::Place;
use dyno_runtime::{ExecSpec, Process};
use dyno_slug::World;
use std::collections::BTreeMap;

async fn refused(place: &Place, component: Vec<u8>) -> String {
    let spec = ExecSpec {
        component,
        world: World::Command,
        arguments: vec!["hostile".into()],
        environment: BTreeMap::new(),
        mounts: Vec::new(),
        memory_bytes_max: 64 << 20,
    };
    match Process::of_component(&place.runtime, spec).await {
        Ok(_) => panic!("it was taken"),
        Err(error) => format!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn components_inside_components_have_a_bound() {
    let place = Place::new().await;
    let reason = refused(&place, nested(100_000)).await;
    assert!(reason.contains("TooDeep"), "{reason}");
    place.leaves_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memories_and_tables_of_a_component_have_a_bound() {
    let place = Place::new().await;
    for (what, word) in [("(memory 1)", "memor"), ("(table 1 funcref)", "table")] {
        let module = format!("(component (core module {}))", what.repeat(101));
        let reason = refused(&place, wat::parse_str(module).unwrap()).await;
        assert!(reason.contains(word), "{reason}");
    }
    place.leaves_nothing().await;
}

/// A component in a component in a component, so many times.
fn nested(depth: usize) -> Vec<u8> {
    const PREAMBLE: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
    // From the inside out, and backwards, so that each step only adds to the end.
    let mut reversed: Vec<u8> = PREAMBLE.iter().rev().copied().collect();
    for _ in 0..depth {
        let mut header = PREAMBLE.to_vec();
        header.push(4);
        let mut length = reversed.len();
        while length > 0x7f {
            header.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        header.push(u8::try_from(length).unwrap());
        reversed.extend(header.iter().rev());
    }
    reversed.reverse();
    reversed
}
