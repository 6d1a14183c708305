//! What each method asks of its caller: the one table of it. A method that is not listed is refused.

use crate::auth::Permission::{self, Admin, Budgets, Check, Prices, Read, Record};
use crate::auth::{Caller, Refusal};

/// What a method asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: orchestrators of containers ask for health.
    Nothing,
    /// Any API key.
    AnyKey,
    /// A key with this permission.
    Holds(Permission),
    /// A key with READ, or a view token: the method itself compares the scopes.
    Watches,
}

impl Need {
    /// Whether the caller satisfies it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(self, caller: &Caller) -> Result<(), Refusal> {
        match self {
            Self::Nothing => Ok(()),
            Self::AnyKey if caller.only_watches() => Err(Refusal::OnlyWatches),
            Self::AnyKey => Ok(()),
            Self::Holds(permission) => caller.require(permission),
            Self::Watches if caller.only_watches() => Ok(()),
            Self::Watches => caller.require(Read),
        }
    }
}

/// Each service with its methods.
pub const METHODS: [(&str, &[(&str, Need)]); 7] = [
    (
        "tollgate.v1.UsageService",
        &[
            ("RecordUsage", Need::Holds(Record)),
            ("BatchRecordUsage", Need::Holds(Record)),
            ("AmendUsage", Need::Holds(Record)),
            ("GetUsage", Need::Holds(Read)),
            ("ListUsage", Need::Holds(Read)),
            ("ExportUsage", Need::Holds(Read)),
            ("StreamUsage", Need::Watches),
            ("GetTotals", Need::Watches),
            ("GetSummary", Need::Holds(Read)),
        ],
    ),
    (
        "tollgate.v1.BudgetService",
        &[
            ("CheckBudget", Need::Holds(Check)),
            ("ExtendReservation", Need::Holds(Check)),
            ("ReleaseReservation", Need::Holds(Check)),
            ("GetReservation", Need::Holds(Read)),
            ("ListReservations", Need::Holds(Read)),
            ("CreateBudget", Need::Holds(Budgets)),
            ("GetBudget", Need::Holds(Read)),
            ("ListBudgets", Need::Holds(Read)),
            ("UpdateBudget", Need::Holds(Budgets)),
            ("DeleteBudget", Need::Holds(Budgets)),
            ("SetBudgetOverride", Need::Holds(Budgets)),
            ("ListBudgetOverrides", Need::Holds(Read)),
            ("DeleteBudgetOverride", Need::Holds(Budgets)),
            ("ListBudgetStates", Need::Holds(Read)),
        ],
    ),
    (
        "tollgate.v1.PriceService",
        &[
            ("SetPrice", Need::Holds(Prices)),
            ("ListPrices", Need::Holds(Read)),
            ("EndPrice", Need::Holds(Prices)),
            ("EstimateCost", Need::Holds(Read)),
            ("RepriceUsage", Need::Holds(Prices)),
        ],
    ),
    (
        "tollgate.v1.AlertService",
        &[
            ("ListAlerts", Need::Holds(Read)),
            ("StreamAlerts", Need::Holds(Read)),
            ("AcknowledgeAlert", Need::Holds(Budgets)),
        ],
    ),
    (
        "tollgate.v1.AdminService",
        &[
            ("CreateApiKey", Need::Holds(Admin)),
            ("ListApiKeys", Need::Holds(Admin)),
            ("RotateApiKey", Need::Holds(Admin)),
            ("RevokeApiKey", Need::Holds(Admin)),
            ("CreateViewToken", Need::Holds(Admin)),
            ("EraseSubject", Need::Holds(Admin)),
            ("GetErasure", Need::Holds(Admin)),
            ("RunAudit", Need::Holds(Admin)),
        ],
    ),
    ("grpc.health.v1.Health", &[("Check", Need::Nothing), ("Watch", Need::Nothing)]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", Need::AnyKey)]),
];

/// What the method at this path asks for; `None` = there is no such method.
pub fn need(path: &str) -> Option<Need> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (_, methods) = METHODS.iter().find(|(name, _)| *name == service)?;
    methods.iter().find(|(name, _)| *name == method).map(|(_, need)| *need)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::DescriptorPool;

    use super::*;

    /// Whoever adds a method to the contract says here who may call it.
    #[test]
    fn the_table_has_every_method_of_the_contract_and_no_other() {
        let mut pool = DescriptorPool::new();
        for set in [
            tollgate_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(set).unwrap();
        }
        let defined: BTreeSet<String> = pool
            .services()
            .flat_map(|service| {
                service.methods().map(|method| path(service.full_name(), method.name())).collect::<Vec<_>>()
            })
            .collect();
        let listed: BTreeSet<String> = METHODS
            .iter()
            .flat_map(|(service, methods)| methods.iter().map(|(method, _)| path(service, method)))
            .collect();
        assert_eq!(listed, defined);
        assert!(defined.iter().all(|path| need(path).is_some()));
        assert_eq!(need("/tollgate.v1.UsageService/Another"), None);
    }

    fn path(service: &str, method: &str) -> String {
        format!("/{service}/{method}")
    }
}
