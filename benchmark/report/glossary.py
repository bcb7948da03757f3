"""The words that a newcomer may not know, for the page and for docs/glossary.md."""

from __future__ import annotations

#: Term -> what it means here, in plain words.
GLOSSARY: dict[str, str] = {
    "stream": "The tasks that are learned one after another. While a task is learned, the images of earlier ones are "
    "gone, unless a method stores some of them.",
    "task": "A set of images and their classes. Each has images to learn from, to validate on and to test on.",
    "backbone": "The network that all methods begin with, without its classifier, as a rule pretrained.",
    "head": "The last layer, which turns the backbone's features into classes. Most methods have one for each task.",
    "specification": "A name with options, as er:memory=200. Methods, streams and backbones are given so.",
    "recipe": "How a method is trained: its optimiser, learning rate, schedule and so on. They are options of every "
    "method that makes gradient steps.",
    "label": "What a method is called in tables: its specification as it was typed.",
    "R[i, j], T": "The accuracy on task j after learning i tasks, of T tasks in all: the accuracy matrix.",
    "average accuracy": "The mean accuracy on all tasks learned so far, each on its own test images. Unless something "
    "else is said, it is that after the last task.",
    "forgetting": "How far the accuracy on earlier tasks has fallen from its best, in the mean. 0 is best.",
    "backward transfer": "How far learning later tasks has changed the accuracy on earlier ones: below 0 they were "
    "forgotten, above 0 they became better.",
    "pp": "Percentage points: from 80 % to 75 % are 5 pp.",
    "seed, order, repetition": "Random numbers follow from the seed. A method learns the stream once for each seed, "
    "and for each order of the tasks if there are several; each time is a repetition.",
    "block": "Repetitions that count as one independent value: a seed, or a seed in an order of its own. With each "
    "seed in each order, it is all repetitions in one order, or all with one seed.",
    "95 % confidence interval": "Where the true mean over all seeds likely is; half of it stands behind ±. It is shown "
    "from 5 blocks on.",
    "chance level": "The accuracy of the best answer that is always the same, without a look at the image. A method at "
    "chance has learned nothing that lasts.",
    "task oracle": "Whether an answer may know to which task an image belongs. Without it, the task is guessed, or all "
    "classes compete.",
    "scenario": "What is known of a test image: its task (task), nothing (class: the classes of all tasks compete), or "
    "nothing while all tasks have the same classes (domain).",
    "main answer": "The answer that tables and figures are about if a method can be asked in several ways: that of the "
    "scenario, or, if the method has none there, that of the first rule that guesses the task.",
    "fine-tuning": "Training the whole network on each task in turn, as the method sgd does. Its compute is the unit.",
    "compute": "Operations of training (FLOP): 2 for a multiplication and an addition. They do not depend on the "
    "machine, unlike seconds.",
    "stored beyond the backbone": "All that must be kept after the stream beside one network of the backbone's size: "
    "heads, what tasks add to the network, stored images, and what helps to go on learning. A backbone that was "
    "overwritten counts as the backbone.",
    "state": "All that a method keeps from one task to the next, in four parts: frozen (the backbone as given), shared "
    "(what all tasks use and later ones may change), task (what belongs to one task alone) and memory (what helps to "
    "go on learning).",
    "replay": "Stored images of earlier tasks that are learned again beside new ones.",
    "frozen": "Not changed by learning.",
    "bound": "A row to compare with that is no method of continual learning: single-task has a network for each task, "
    "and joint sees the images of all tasks at once.",
    "fingerprint": "A checksum. The same fingerprint means the same images, labels or weights.",
    "cell": "A method with one seed, and one order if there are several.",
}
