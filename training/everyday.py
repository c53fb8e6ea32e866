"""Everyday sentences from word lists: what people say about people, things, places, work and computers."""

from __future__ import annotations

import random

PEOPLE = """a man|a woman|the boy|the girl|a child|the children|the baby|my mother|my father|my brother
her sister|his wife|their son|my grandmother|our neighbour|a friend of mine|the teacher
the students|the pupils|the doctor|the nurse|a patient|the lawyer|the judge|the police
an officer|the thief|the soldiers|the king|the queen|the president|the minister|the mayor
the farmer|the cook|the chef|the waiter|the baker|a scientist|an engineer|the programmer
the mechanic|the driver|the pilot|the captain|a sailor|the artist|a painter|the singer|the band
a musician|the actor|a writer|the journalist|the manager|our company|the customer|a tourist
the passengers|the players|the team|the coach|the workers|the builder|somebody|everyone|he|she
they|we|I|a dog|the cat|a horse|the birds|a bird|the lion|a monkey|the sheep|a mouse|the bees
a puppy|two people|a group of men|an old lady|a young couple|the crowd|a kid|a toddler
the guests|my boss|my colleague|the secretary|the priest"""
ACTIONS = """played the guitar|plays the piano|is playing a flute|sang a song|is singing|danced all night
is dancing|is playing football|kicked the ball|won the match|lost the game|ran a race|is running
walked home|is walking|went for a walk|climbed the mountain|is hiking|is swimming
swam across the river|went skiing|rode a bicycle|is riding a horse|drove the car|took the bus
missed the train|caught a flight|booked a hotel|travelled abroad|is eating an apple
ate some bread|had breakfast|cooked dinner|is cooking rice|baked a cake|drank a cup of tea
is drinking coffee|ordered a pizza|washed the dishes|cleaned the kitchen|is sleeping|fell asleep
woke up early|is resting on the sofa|is lying in bed|read a book|is reading the newspaper
wrote a letter|is writing a story|sent a message|called a friend|is talking on the phone
answered the question|asked for help|told a joke|laughed|is smiling|is crying|was very sad
was happy|was angry|was afraid|was tired|felt sick|has a headache|has a fever|broke an arm
was injured in an accident|went to the hospital|took some medicine|recovered from the illness
died|was born|got married|had a baby|is getting divorced|moved to another city|bought a house
sold the car|rented a flat|paid the bill|lost a wallet|found some money|stole a watch
robbed a bank|was arrested|went to prison|saved money|invested in shares|opened a bank account
borrowed some money|asked for a refund|returned the product|bought a new coat
is shopping for clothes|tried on the shoes|is wearing a red hat|painted a picture
is drawing a face|took a photograph|watched a film|is watching television|enjoyed the movie
visited the museum|went to a concert|listened to the radio|listened to music
is studying for the exam|passed the test|failed the exam|learned a language|teaches mathematics
explained the lesson|gave a speech|held a meeting|signed the contract|was promoted|lost the job
is looking for work|started a company|hired new people|went on strike|voted|won the election
fought in the war|marched through the streets|attacked the town|defended the city|built a bridge
repaired the roof|is fixing the car|painted the wall|planted a tree|is watering the flowers
harvested the wheat|fed the animals|milked the cows|caught a fish|is fishing|hunted a deer
chased a rabbit|is barking|is chasing a ball|is sitting on the grass|jumped over the fence
built a nest|is flying|wrote a program|fixed the bug|installed the software
restarted the computer|forgot the password|broke the phone|charged the battery|uploaded the file
deleted the data|sent an email|is searching the web|printed the document|made an experiment
discovered a cure|found a new star|studied the cells|solved the equation|measured the distance
is waiting for the bus|is cutting an onion|is slicing bread|poured some milk
turned off the light|opened the door|closed the window|locked the house|lit a fire
is carrying a box|is pushing a cart|fell down the stairs|won a prize"""
PLACES = """in the park|at home|at school|in the garden|in the kitchen|on the beach|by the sea
near the river|in the forest|in the mountains|in town|in the city|on the street|at work
in the office|at the station|at the airport|in the restaurant|in a shop|at the market
in the hospital|in the library|in church|on the stage|in the stadium|on a farm|in the field
in the snow|in the rain|on the road|in the car|on the train|abroad"""
TIMES = """today|yesterday|tomorrow|this morning|in the evening|last night|at noon|on Monday|on Sunday
last week|next month|in summer|in winter|in spring|in autumn|every day|once a week|for hours
a year ago|after lunch"""
TASKS = """reset my password|log into my account|change my email address|cancel my order|get a refund
track my parcel|pay with a credit card|contact customer support|book a flight|reserve a table
rent a car|find a hotel|learn to cook|bake bread|make coffee|boil eggs|lose weight|sleep better
get fit|treat a cold|cure a headache|stop smoking|learn English|learn the piano|play chess
write a letter|find a job|write a good essay|pass the exam|study history|save money
invest in shares|open a bank account|pay less tax|buy a house|sell my car|repair a bicycle
change a tyre|fix a leaking pipe|paint a wall|grow tomatoes|train a dog|feed a cat|keep bees
catch fish|clean the windows|wash wool|iron a shirt|install the program|update the software
sort a list in Python|read a file|connect to the wifi|speed up my computer|free some disk space
charge my phone|take better photos|edit a video|print a document|translate a text|send an email
find the station|get to the airport|cross the border|get a visa|vote in the election"""
THINGS = """the weather|the rain|the sun|the wind|the snow|the storm|the flood|the fire|the earthquake
the volcano|the sea|the lake|the river|the forest|the mountain|the moon|the planet|the sky
the house|the building|the bridge|the road|the tower|the castle|the school|the hospital
the museum|the hotel|the shop|the bank|the factory|the car|the bus|the train|the plane|the ship
the bicycle|the engine|the tyre|the computer|the laptop|the phone|the battery|the screen
the printer|the program|the software|the website|the internet connection|the server|the camera
the radio|the film|the movie|the book|the story|the song|the concert|the painting|the game
the match|the exam|the lesson|the food|the soup|the bread|the meat|the fish|the cheese|the fruit
the apple|the wine|the tea|the coffee|the cake|the price|the rent|the salary|the economy
the market|the tax|the bill|the contract|the law|the trial|the election|the war|the battle
the government|the party|the meeting|the plan|the budget|the report|the letter|the message
the dress|the coat|the shoes|the hat|the bed|the chair|the table|the lamp|the door|the window
the key|the clock"""
STATES = """very good|really bad|excellent|terrible|boring|exciting|beautiful|ugly|new|very old|broken
too expensive|cheap|far away|nearby|closed|open|empty|full|dirty|clean|dangerous|safe|hot|cold
wet|dry|big|small|slow|fast|late|famous|popular|empty again|on fire|under water|too salty
delicious|fresh|too loud|quiet|difficult|easy|ready|out of order|stuck|frozen|made of wood
made in Germany|painted green|worth seeing|more expensive than last year|cheaper than before
better than expected|worse than yesterday|not working|being repaired|finished|cancelled"""
QUESTIONS = (
    "How do I {}?",
    "How can I {}?",
    "What is the best way to {}?",
    "I want to {}.",
    "Can you help me {}?",
)


def _words(text: str) -> list[str]:
    return text.replace("\n", "|").split("|")


def say_something(chance: random.Random) -> str:
    """One everyday sentence, new nearly each time."""
    kind = chance.random()
    if kind < 0.12:
        return chance.choice(QUESTIONS).format(chance.choice(_words(TASKS)))
    if kind < 0.35:
        verb = (
            "are"
            if (thing := chance.choice(_words(THINGS))).endswith("shoes")
            else chance.choice(("is", "was"))
        )
        return _finish([thing, verb, chance.choice(_words(STATES))])
    where = [chance.choice(_words(PLACES))] if chance.random() < 0.4 else []
    when = [chance.choice(_words(TIMES))] if chance.random() < 0.3 else []
    return _finish([chance.choice(_words(PEOPLE)), chance.choice(_words(ACTIONS)), *where, *when])


def _finish(parts: list[str]) -> str:
    sentence = " ".join(parts)
    return sentence[0].upper() + sentence[1:] + "."
