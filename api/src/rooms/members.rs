//! Who is in which room, asked for nearly every call: what is asked while an answer is on its way is asked together.

use std::{fmt, sync::Arc};

use ops::{database::Pool, lifecycle::Lifecycle, together::Together};
use schema::id::{RoomId, UserId};

use super::{model::Member, repository};

/// Asks for places in rooms.
pub(crate) struct Members {
    pg: Pool,
    together: Arc<Together<(RoomId, UserId), Option<Member>>>,
}

impl Members {
    /// Asks over this pool.
    pub(crate) fn new(pg: Pool, lifecycle: Lifecycle) -> Self {
        Self { pg, together: Together::new(lifecycle) }
    }

    /// The place of `user` in `room`, as it is after this was asked; none = they are not in it.
    pub(super) async fn find(&self, room: RoomId, user: UserId) -> sqlx::Result<Option<Member>> {
        let pg = self.pg.clone();
        let answer = move |asked: Vec<(RoomId, UserId)>| {
            let pg = pg.clone();
            async move { repository::find_members(&pg, &asked).await.ok() }
        };
        match self.together.ask((room, user), answer).await {
            Some(member) => Ok(member),
            // Asked again alone: then there is an answer, or a reason why there is none.
            None => Ok(repository::find_members(&self.pg, &[(room, user)]).await?.pop().flatten()),
        }
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Members")
    }
}
