//! Integrates the boot loader of the plan.

use super::Workspace;
use crate::boot::{self, Integration};
use crate::golden::Golden;
use crate::plan::Plan;
use crate::plan::boot::Environment;
use crate::plan::family::{BOOT_LINK, Role};
use crate::platform::{Architecture, Bootloader};
use crate::problem::{Problem, Problems};
use crate::tree::edit::EditError;
use crate::tree::{Stat, Tree};

/// Makes root filesystem and boot partition start and update through the boot loader; `None` when
/// that is impossible, with the reasons among the problems.
pub(super) fn integrate(
    work: &mut Workspace<'_>,
    plan: &Plan,
    golden: &Golden,
) -> Option<boot::InstalledLoader> {
    let Some(architecture) = golden.facts.architecture else {
        let problem = Problem::new("the architecture of the image is unknown");
        return work.keep(Err(Problems::from(problem)));
    };
    let partuuids = [Role::RootA, Role::RootB].map(|role| plan.family.partuuid(role));
    let partuuids = [partuuids[0].as_str(), partuuids[1].as_str()];
    let integration = integration(plan, golden, architecture, partuuids);
    let result = integration.integrate(&mut work.root, &mut work.boot);
    work.keep(result)
}

/// The partition with `autoboot.txt`, and the boot partition of the second slot, which is made of
/// the `first`; where each slot has one.
///
/// # Errors
/// Files of the first one that cannot be read.
pub fn other_boot_partitions(plan: &Plan, first: &Tree) -> Result<(Tree, Tree), EditError> {
    let family = &plan.family;
    let slots = [Role::RootA, Role::RootB];
    let second = boot::tryboot::second_partition(
        first,
        slots.map(|role| family.number(role)),
        slots.map(|role| family.partuuid(role)),
    )?;
    let boots = [Role::Boot, Role::BootB].map(|role| family.number(role));
    let file = Stat::root(0o644, plan.stamp.time);
    let autoboot = boot::tryboot::autoboot_partition(boots, file)?;
    Ok((autoboot, second))
}

fn integration<'p>(
    plan: &'p Plan,
    golden: &Golden,
    arch: Architecture,
    partuuids: [&'p str; 2],
) -> Integration<'p> {
    let family = &plan.family;
    let roots = [Role::RootA, Role::RootB].map(|role| family.number(role));
    let boot_mount = plan.boot.mount.as_str();
    let more_arguments = plan.boot.kernel_arguments.as_str();
    let golden_boot = golden.boot.as_ref().map(|boot| boot.partition.number);
    match plan.boot.loader {
        Bootloader::GrubEfi => Integration::GrubEfi(boot::grub::GrubOptions {
            roots,
            partuuids,
            table: plan.family.scheme,
            boot_mount,
            arch,
            more_arguments,
        }),
        Bootloader::RpiTryboot => Integration::RpiTryboot(boot::tryboot::TrybootOptions {
            roots,
            partuuids,
            boot_mount,
            arch,
            more_arguments,
            golden_boot,
            partitions: plan.boot.per_slot.as_ref().map(|_| {
                let boots = [Role::Boot, Role::BootB];
                boot::tryboot::BootPartitions {
                    numbers: boots.map(|role| family.number(role)),
                    partuuids: boots.map(|role| family.partuuid(role)),
                    autoboot: family.partuuid(Role::Autoboot),
                    link: BOOT_LINK,
                }
            }),
            models: &plan.boot.pi_models,
        }),
        Bootloader::UBoot | Bootloader::UBootOnRaspberryPi => {
            Integration::UBoot(boot::uboot::UBootOptions {
                roots,
                partuuids,
                boot_mount,
                arch,
                more_arguments,
                flavor: plan.boot.kernel_flavor.as_deref(),
                models: &plan.boot.pi_models,
                golden_boot,
                program: plan
                    .boot
                    .u_boot
                    .as_ref()
                    .map(|u_boot| (u_boot.name.clone(), u_boot.bytes.clone())),
                storage: storage(&plan.boot.environment),
                golden_root: golden.root.partition.number,
                accepted: plan.accepted.iter().map(|(path, _)| path).collect(),
            })
        }
    }
}

fn storage(environment: &Environment) -> boot::uboot::EnvStorage {
    match environment.clone() {
        Environment::Files => boot::uboot::EnvStorage::Files,
        Environment::Raw {
            disk,
            offsets,
            size,
        } => boot::uboot::EnvStorage::Raw {
            disk,
            offsets,
            size,
        },
    }
}
