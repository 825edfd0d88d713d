//! Questions that come while others are being answered are asked together: five thousand phones that come back at
//! once cost a database dozens of questions, and one that comes alone waits for nobody.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::lifecycle::Lifecycle;

/// Questions asked at a time.
const TOGETHER_MAX: usize = 256;
/// How long the answers may take: later ones are of no use to a client that waits.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Questions of one kind.
#[derive(Debug)]
pub struct Together<Q, A> {
    lifecycle: Lifecycle,
    waiting: Mutex<Waiting<Q, A>>,
}

#[derive(Debug)]
struct Waiting<Q, A> {
    questions: Vec<(Q, oneshot::Sender<A>)>,
    /// Whether a task sees to them.
    is_asking: bool,
}

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// Nobody asks yet.
    pub fn new(lifecycle: Lifecycle) -> Arc<Self> {
        Arc::new(Self { lifecycle, waiting: Mutex::new(Waiting { questions: Vec::new(), is_asking: false }) })
    }

    /// The answer to `question`, by `answer`, which is given all that wait and answers them in their order; `None`
    /// if it has none, or takes too long.
    pub async fn ask<F>(self: &Arc<Self>, question: Q, answer: impl Fn(Vec<Q>) -> F + Send + 'static) -> Option<A>
    where
        F: Future<Output = Option<Vec<A>>> + Send + 'static,
    {
        let (asker, answered) = oneshot::channel();
        if self.put(question, asker) {
            // A task of its own: whoever asked first may give up, and the others' answers must still come.
            self.lifecycle.spawn(Arc::clone(self).answer_all(answer));
        }
        answered.await.ok()
    }

    /// Lets a question wait; says whether somebody must see to those that do.
    fn put(&self, question: Q, asker: oneshot::Sender<A>) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.questions.push((question, asker));
        !std::mem::replace(&mut waiting.is_asking, true)
    }

    async fn answer_all<F>(self: Arc<Self>, answer: impl Fn(Vec<Q>) -> F + Send + 'static)
    where
        F: Future<Output = Option<Vec<A>>> + Send + 'static,
    {
        while let Some(next) = self.next() {
            let (questions, askers): (Vec<_>, Vec<_>) = next.into_iter().unzip();
            let answers = tokio::time::timeout(ANSWER_WITHIN, answer(questions)).await.ok().flatten();
            for (asker, answer) in askers.into_iter().zip(answers.into_iter().flatten()) {
                // Whoever gave up needs no answer.
                let _is_heard = asker.send(answer).is_ok();
            }
        }
    }

    fn next(&self) -> Option<Vec<(Q, oneshot::Sender<A>)>> {
        let mut waiting = self.waiting.lock();
        let len = waiting.questions.len().min(TOGETHER_MAX);
        waiting.is_asking = len > 0;
        waiting.is_asking.then(|| waiting.questions.drain(..len).collect())
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::Semaphore, task::JoinSet};

    use super::*;

    /// Doubles numbers, each time it is let, and notes how many it was asked at a time.
    struct Doubler {
        lets: Semaphore,
        sizes: Mutex<Vec<usize>>,
        together: Arc<Together<u32, u32>>,
    }

    impl Doubler {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                lets: Semaphore::new(0),
                sizes: Mutex::default(),
                together: Together::new(Lifecycle::new()),
            })
        }

        async fn double(self: Arc<Self>, number: u32) -> Option<u32> {
            let this = Arc::clone(&self);
            let answer = move |numbers: Vec<u32>| {
                let this = Arc::clone(&this);
                async move {
                    this.lets.acquire().await.ok()?.forget();
                    this.sizes.lock().push(numbers.len());
                    (!numbers.contains(&13)).then(|| numbers.iter().map(|number| number * 2).collect())
                }
            };
            self.together.ask(number, answer).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_meanwhile_is_asked_together_and_each_hears_its_own_answer() {
        let doubler = Doubler::new();
        let mut asked = JoinSet::new();
        let ask = |number| {
            let doubler = Arc::clone(&doubler);
            async move { (number, doubler.double(number).await) }
        };
        let first = asked.spawn(ask(99));
        for number in 100..400 {
            asked.spawn(ask(number));
        }
        tokio::task::yield_now().await;
        // Who gives up keeps nobody from an answer.
        first.abort();
        doubler.lets.add_permits(10);
        let mut answered = 0;
        while let Some(asked) = asked.join_next().await {
            let Ok((number, answer)) = asked else { continue };
            assert_eq!(answer, Some(number * 2));
            answered += 1;
        }
        assert_eq!(answered, 300);
        assert_eq!(doubler.sizes.lock().iter().sum::<usize>(), 301);
        assert!(doubler.sizes.lock().len() <= 3, "{:?}", doubler.sizes.lock());
        assert_eq!(Arc::clone(&doubler).double(7).await, Some(14), "and it answers on");
    }

    #[tokio::test(start_paused = true)]
    async fn no_answer_and_a_late_one_are_none() {
        let doubler = Doubler::new();
        assert_eq!(Arc::clone(&doubler).double(1).await, None, "nobody lets it answer");
        doubler.lets.add_permits(2);
        assert_eq!(Arc::clone(&doubler).double(13).await, None);
        assert_eq!(Arc::clone(&doubler).double(2).await, Some(4));
    }
}
