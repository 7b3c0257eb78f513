//! A policy set is tried on traffic before it is enforced: refused for what it would break, mended,
//! put in the place of the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ztlib::policies::trial::{PromotionRule, RecordingRules, Share};

use crate::world::{Failure, World};
use crate::{Services, client, scenes};

/// How long the shadow may take, and the files.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many judged requests must have gone as they went before.
const EVIDENCE: u64 = 10;

/// Ends with the mended candidate in force.
pub async fn play(world: &World, services: &Services, record: Option<&Path>) -> Result<(), Failure> {
    let policies = services.guard.policies();
    let rule = PromotionRule::new(EVIDENCE, Duration::ZERO);

    println!(
        "Clerks should call only the methods that they need. All callers call once more, and are recorded."
    );
    // What `ztlib policy suggest` tells callers apart by.
    let recorder = policies.record(RecordingRules::new().also_callers())?;
    call_again(world, services).await?;
    let recording = recorder.recording();
    if let Some(file) = record {
        recording.save(file)?;
    }

    let hasty = candidate(world, "\"/shop.Inventory/Reserve\"")?;
    let hasty = policies.candidate_from_manifest(hasty)?;
    let found = hasty.replay(&recording);
    println!("Replay of {} requests by the candidate {}: {found}", recording.len(), hasty.revision());
    match hasty.check(&rule, &found) {
        Err(refused) if refused.code() == "would-change" => println!("Not good enough: {}.", refused.code()),
        other => return Err(format!("the hasty candidate should have been refused: {other:?}").into()),
    }

    let mended = candidate(world, "\"/shop.Inventory/Reserve\", \"/shop.Inventory/Watch\"")?;
    let mended = policies.candidate_from_manifest(mended)?;
    println!("Mended: replay of the same by {}: {}.", mended.revision(), mended.replay(&recording));
    let shadow = policies.shadow(&mended, Share::ALL)?;
    call_again(world, services).await?;
    let judged = shadow.wait_until(PATIENCE, |status| status.judged >= EVIDENCE);
    mended.check(&rule, &shadow.differences())?;
    if !judged {
        return Err(format!("the shadow should have judged more: {}", shadow.differences()).into());
    }
    fs::copy(world.folder.join("next/rbac.yaml"), world.policies().join("rbac.yaml"))?;
    world.write_manifest()?;
    if !policies.wait_until(PATIENCE, |status| status.revision == mended.revision()) {
        return Err(format!("its files should be in force: {:?}", policies.status()).into());
    }
    println!(
        "In the shadow of the enforced set it judges live requests. After {EVIDENCE} without a change its files take the place of the others.\n"
    );
    Ok(())
}

async fn call_again(world: &World, services: &Services) -> Result<(), Failure> {
    for scene in scenes::all(world) {
        client::send(world, &scene, services.shop, services.inventory).await?;
    }
    Ok(())
}

/// The set in force with other methods for clerks, in a folder of its own.
fn candidate(world: &World, methods: &str) -> Result<PathBuf, Failure> {
    let next = world.folder.join("next");
    fs::create_dir_all(&next)?;
    for file in fs::read_dir(world.policies())? {
        let file = file?;
        fs::copy(file.path(), next.join(file.file_name()))?;
    }
    let config = fs::read_to_string(next.join("rbac.yaml"))?;
    fs::write(next.join("rbac.yaml"), config.replace("\"/shop.Inventory/*\"", methods))?;
    Ok(next.join("policies.toml"))
}
