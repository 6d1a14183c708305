//! Who made a call and where.

use tollgate_proto::v1;

use crate::count::small_count;

/// Who made a call and where it belongs in the caller's world. The same goes into the check and into the event. Every
/// dimension is optional; an empty string means that it is absent.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use = "dimensions do nothing until they are put into an event or a check"]
pub struct Dimensions {
    pub(crate) message: v1::Dimensions,
}

/// Writes one setter per text dimension, so that each stands here once.
macro_rules! text_dimensions {
    ($($(#[$documentation:meta])* $setter:ident => $field:ident;)*) => {
        $(
            $(#[$documentation])*
            pub fn $setter(mut self, value: impl Into<String>) -> Self {
                self.message.$field = value.into();
                self
            }
        )*
    };
}

impl Dimensions {
    /// Dimensions that are all absent.
    pub fn new() -> Self {
        Self::default()
    }

    text_dimensions! {
        /// The caller's workspace.
        workspace => workspace_id;
        /// The project that pays inside the tenant.
        project => project_id;
        /// The team that owns the work.
        team => team_id;
        /// The caller's own paying customer on whose behalf the call runs.
        customer => customer_id;
        /// The plan of that customer, for example `free`.
        customer_tier => customer_tier;
        /// The end user.
        user => user_id;
        /// The deployment environment, for example `production`.
        environment => environment;
        /// The session: the unit for which running totals are kept.
        session => session_id;
        /// The session that started this one.
        parent_session => parent_session_id;
        /// The session at the top of the tree. Unset means the session itself.
        root_session => root_session_id;
        /// The conversation thread.
        thread => thread_id;
        /// The room or channel in which the conversation takes place.
        room => room_id;
        /// The running instance (process, pod) that makes the call.
        instance => instance_id;
        /// The kind of service that makes the call, for example `agent`.
        service_type => service_type;
        /// The identifier of that service.
        service => service_id;
        /// The human-readable name of that service.
        service_name => service_name;
        /// The identifier of the agent.
        agent => agent_id;
        /// The human-readable name of the agent.
        agent_name => agent_name;
        /// The tier of the agent, for example `premium`.
        agent_tier => agent_tier;
        /// The role that the agent plays, for example `reviewer`.
        agent_role => agent_role;
        /// The workflow of which the call is a step.
        workflow => workflow_id;
        /// The human-readable name of the step.
        workflow_step_name => workflow_step_name;
        /// The panel of agents to which the call belongs.
        panel => panel_id;
        /// The name of the business operation, for example `presentation_generate`.
        task_name => task_name;
        /// The identifier of one run of the business operation.
        task => task_id;
    }

    /// The position of the step in the workflow.
    pub fn workflow_step(mut self, position: u32) -> Self {
        self.message.workflow_step = Some(small_count(position));
        self
    }

    /// The position of the agent in the panel.
    pub fn panel_position(mut self, position: u32) -> Self {
        self.message.panel_position = Some(small_count(position));
        self
    }

    /// The number of agents in the panel.
    pub fn panel_size(mut self, agents: u32) -> Self {
        self.message.panel_size = Some(small_count(agents));
        self
    }

    /// A free dimension. At most 16 labels; names of at most 64 bytes, values of at most 256 bytes.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.message.labels.insert(name.into(), value.into());
        self
    }
}

impl From<Dimensions> for v1::Dimensions {
    fn from(dimensions: Dimensions) -> Self {
        dimensions.message
    }
}

impl From<v1::Dimensions> for Dimensions {
    fn from(message: v1::Dimensions) -> Self {
        Self { message }
    }
}

/// Gives a builder with a field `message.dimensions` the setters that most calls need, besides the one for all dimensions.
macro_rules! common_dimensions {
    () => {
        common_dimensions! { @setters
            /// The session: the unit for which running totals are kept.
            session => session_id;
            /// The end user.
            user => user_id;
            /// The identifier of the agent.
            agent => agent_id;
            /// The human-readable name of the agent.
            agent_name => agent_name;
            /// The project that pays inside the tenant.
            project => project_id;
            /// The team that owns the work.
            team => team_id;
            /// The caller's own paying customer on whose behalf the call runs.
            customer => customer_id;
            /// The deployment environment, for example `production`.
            environment => environment;
            /// The workflow of which the call is a step.
            workflow => workflow_id;
            /// The name of the business operation, for example `presentation_generate`.
            task_name => task_name;
        }

        /// A free dimension. At most 16 labels; names of at most 64 bytes, values of at most 256 bytes.
        pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.message.dimensions.get_or_insert_default().labels.insert(name.into(), value.into());
            self
        }

        /// All dimensions at once, in place of those set so far.
        pub fn dimensions(mut self, dimensions: impl Into<tollgate_proto::v1::Dimensions>) -> Self {
            self.message.dimensions = Some(dimensions.into());
            self
        }
    };
    (@setters $($(#[$documentation:meta])* $setter:ident => $field:ident;)*) => {
        $(
            $(#[$documentation])*
            pub fn $setter(mut self, value: impl Into<String>) -> Self {
                self.message.dimensions.get_or_insert_default().$field = value.into();
                self
            }
        )*
    };
}
pub(crate) use common_dimensions;
