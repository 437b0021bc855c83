"""Labelled sentences for measuring what quantization does to embeddings: pairs with a grade, questions with answers.

All of it was written for this course, about everyday things, and graded by one rater, its author, before any model had
seen it; no grade was changed afterwards. One rater means: another person would give some pairs another grade, so a rank
correlation with these grades says how two models compare on the same pairs, and little about either of them alone.

Grades follow this rubric:

====== ==============================================================================================================
grade  the two sentences
====== ==============================================================================================================
5      say the same in other words
4      say the same, but for a detail that hardly matters
3      tell of the same thing, and differ in something that matters (who, when, how many)
2      share a topic and say different things about it, or the opposite
1      share a setting or a word, and little else
0      have nothing to do with each other
====== ==============================================================================================================

Some pairs of grade 5 share no content word, some of grade 0 and 1 share several: counting words does not solve them.

The questions come in groups of four about one subject, so every answer has three neighbours that a careless reader
could take for it. Only one passage answers a question.
"""

__all__ = ["ANSWERS", "CALIBRATION", "PAIRS", "QUESTIONS"]

# (grade, one sentence, another), twelve of each grade.
PAIRS: tuple[tuple[int, str, str], ...] = (
    (5, "The bus was twenty minutes late this morning.", "This morning the bus came twenty minutes behind schedule."),
    (5, "She cannot stand loud music.", "Noisy songs are unbearable to her."),
    (5, "The kettle is boiling.", "The water for the tea has started to boil."),
    (5, "He lost his keys somewhere in the park.", "Somewhere in the park his keys went missing."),
    (5, "My grandfather never learned to swim.", "Swimming is something my grandfather was never taught."),
    (5, "The shop closes at six.", "After six o'clock the store is shut."),
    (5, "Prices have gone up a great deal.", "Everything has become much more expensive."),
    (5, "The doctor told him to rest for a week.", "He was ordered by the physician to take it easy for seven days."),
    (5, "The roof leaks whenever it rains.", "Each time there is rain, water comes through the ceiling."),
    (5, "The children fell asleep in the car.", "During the drive the kids dozed off."),
    (5, "I would rather walk than drive.", "I prefer going on foot to taking the car."),
    (5, "The team won its first match.", "The opening game ended in a victory for the team."),
    (4, "A man is repairing a bicycle in his garage.", "A man is fixing his bike."),
    (4, "The bakery on the corner sells fresh bread.", "You can buy fresh bread at the corner bakery every morning."),
    (4, "The library will be closed for repairs until May.", "The library stays shut until May."),
    (4, "Two dogs are running across a wet field.", "Two dogs run through a field."),
    (4, "She bought a warm coat for the winter.", "She purchased a thick woollen coat for the cold season."),
    (4, "The flight to Lisbon was cancelled because of fog.", "Our flight to Lisbon did not take off."),
    (4, "He plays the piano after dinner.", "In the evening he plays a little piano."),
    (4, "Heavy snow blocked the mountain road.", "The road over the mountain is closed by snow and ice."),
    (4, "The baby cried all night.", "The baby kept crying most of the night."),
    (4, "We planted tomatoes behind the house.", "Tomatoes are growing in our back garden."),
    (4, "The museum lets students in for free.", "Students do not have to pay at the museum on weekdays."),
    (4, "The laptop battery lasts about ten hours.", "One charge keeps this computer going for most of a working day."),
    (3, "A woman is slicing an onion.", "A woman is peeling an onion."),
    (3, "The concert starts at eight on Friday.", "The concert starts at eight on Saturday."),
    (3, "Three people were hurt in the accident.", "No one was hurt in the accident on the bridge."),
    (3, "My brother teaches chemistry at a school.", "My sister teaches mathematics at a school."),
    (3, "The cat is sleeping on the sofa.", "The cat is sitting on the sofa and watching the birds."),
    (3, "The company will hire fifty engineers.", "The company has just let fifty engineers go."),
    (3, "He ordered a pizza with mushrooms.", "He made a pizza with ham at home."),
    (3, "The train to the coast leaves every hour.", "The train to the coast was full this morning."),
    (3, "She ran the marathon in four hours.", "She could not finish the marathon."),
    (3, "Turn the oven on before you make the dough.", "Turn the oven off before you take the bread out."),
    (3, "The river flooded the old town last spring.", "In spring the river almost reached the old town."),
    (3, "Our neighbours sold their house in June.", "Our neighbours are trying to sell their house."),
    (2, "The shop is open on Sundays.", "The new shop sells garden furniture."),
    (2, "Coffee keeps me awake at night.", "Most of the world's coffee is grown near the equator."),
    (2, "He is learning to play the guitar.", "Old guitars can cost as much as a car."),
    (2, "Whales come to this bay in summer.", "Whales are the largest animals that have ever lived."),
    (2, "The exam was easier than I feared.", "You must bring your own pencil to the exam."),
    (2, "Our dog is afraid of thunder.", "Dogs need a vaccination before they may cross the border."),
    (2, "The bridge was painted last year.", "Lorries may no longer cross the bridge."),
    (2, "The soup needs more salt.", "This soup can be kept in the freezer for a month."),
    (2, "My tooth has hurt since yesterday.", "The dentist moved to a bigger practice."),
    (2, "The elections will be held in autumn.", "Few young people voted in the last elections."),
    (2, "Wind turbines are being built along the coast.", "Some birds fly into wind turbines."),
    (2, "She paid for the tickets in cash.", "The tickets are valid on all trams."),
    (1, "He sat on the bank of the river and fished.", "The bank refused to lend him the money."),
    (1, "The orange juice is in the fridge.", "She painted the door bright orange."),
    (1, "A bat flew into the attic.", "The boy hit the ball with his new bat."),
    (1, "The kitchen smells of garlic.", "We bought a new lamp for the kitchen."),
    (1, "The waiter brought us the wrong bill.", "The government passed a bill on farm animals."),
    (1, "The teacher handed out the homework.", "The school roof is made of copper."),
    (1, "The ship reached the harbour at dawn.", "Seagulls steal chips from the tourists at the harbour."),
    (1, "It rained through the whole wedding.", "The bride's cousin works as a pilot."),
    (1, "The hospital has a new entrance.", "The nurse is planning a holiday in Norway."),
    (1, "A watch should be serviced every five years.", "We watch the same film every Christmas."),
    (1, "The farmer sold two cows.", "Tractors are not allowed on the motorway."),
    (1, "The keyboard of my computer is broken.", "Video calls are tiring for many people."),
    (0, "The moon is full tonight.", "Please sign the form on the last page."),
    (0, "He is allergic to peanuts.", "The tunnel under the hill is two miles long."),
    (0, "My favourite colour is green.", "Interest rates did not change in March."),
    (0, "The violin was made three hundred years ago.", "Wash the salad before you dry it."),
    (0, "The printer is out of paper.", "Penguins cannot fly."),
    (0, "A passport is valid for ten years.", "The choir rehearses on Tuesdays."),
    (0, "She broke her arm when she was nine.", "This wall is built of limestone."),
    (0, "The carpet needs cleaning.", "A comet passed close to the sun."),
    (0, "Our team lost in the last minute.", "Bees find their way home by the sun."),
    (0, "There is no sugar left.", "The lawyer asked the witness a question."),
    (0, "He reads the newspaper every day.", "The glacier has become much shorter."),
    (0, "The lift is out of order again.", "Many frogs hide in the mud during winter."),
)

# QUESTIONS[i] is answered by ANSWERS[i] alone; i // 4 is the subject.
QUESTIONS: tuple[str, ...] = (
    "My tyre keeps going flat, what should I look for?",
    "Why does the chain jump when I push hard on the pedals?",
    "How do I stop that awful squealing when I brake?",
    "My knees hurt after riding, is something set up wrong?",
    "The leaves of my tomato plant are going yellow from the bottom up.",
    "How do I get rid of slugs without poison?",
    "When is it safe to move seedlings outside?",
    "How often does a cactus need to drink?",
    "Why is my bread so dense and heavy?",
    "What can I use if I have no eggs for the cake?",
    "How do I tell whether the chicken is cooked through?",
    "My sauce has turned out far too salty.",
    "The wireless connection drops in the bedroom.",
    "My computer has become terribly slow lately.",
    "I deleted a photo by mistake, can I get it back?",
    "How do I pick a password that nobody can guess?",
    "I cannot fall asleep at night.",
    "What helps against a headache without pills?",
    "How long should I wait before I swim after eating?",
    "What do I do about a nosebleed?",
    "What happens if my luggage does not arrive?",
    "How can I keep my ears from hurting when the plane lands?",
    "Do I need a special plug for my charger abroad?",
    "How do I get over the tiredness after a long flight?",
    "How do I get red wine out of a tablecloth?",
    "My wool jumper has become tiny, can it be saved?",
    "The towels have gone hard and scratchy.",
    "How do I clean a burnt pan?",
    "Why does my cat bring me dead mice?",
    "How do I teach a puppy not to bite?",
    "My goldfish is hanging at the top and gasping.",
    "How can I get my rabbit used to being picked up?",
    "How much money should I keep for emergencies?",
    "Is it better to rent or to buy a flat?",
    "What is the difference between a share and a bond?",
    "How do I read the deductions on my pay slip?",
    "The radiator is cold at the top and hot at the bottom.",
    "Water is dripping from the tap all day.",
    "Why does black mould keep growing in the corner?",
    "The light goes off in half of the flat at once.",
    "Why do the leaves change colour in autumn?",
    "Why is the sky blue and not violet?",
    "How do geese know where to fly in winter?",
    "Why is there high tide twice a day?",
    "How do I ask for more pay?",
    "What should I wear to a job interview?",
    "I am afraid of speaking in front of people.",
    "My colleague takes credit for what I did.",
    "How do I start running when I am out of shape?",
    "My legs ache two days after training, is that bad?",
    "How should I breathe when I swim the crawl?",
    "Which knot do I use to tie myself in for climbing?",
    "My car does not start on cold mornings.",
    "What does the orange engine lamp mean?",
    "How do I park backwards into a small gap?",
    "When do I have to change to winter tyres?",
    "My child refuses to eat vegetables.",
    "How much screen time is all right for a toddler?",
    "How do I help my daughter learn to read?",
    "The baby only falls asleep when we carry her around.",
    "How do I keep my fingers from hurting on the guitar?",
    "How often does a piano have to be tuned?",
    "How can I learn to read notes as a grown-up?",
    "How do I sing high notes without straining?",
)

ANSWERS: tuple[str, ...] = (
    (
        "Run a finger along the inside of the rubber: a thorn or a splinter that is still stuck there punctures "
        "every new tube."
    ),
    "Worn teeth on the sprockets let the links slip under load; both are usually replaced together.",
    "Roughen the pads with sandpaper and wipe the rims with alcohol, since grease on them makes the noise.",
    "A saddle that is too low bends the leg too far; raise it until the leg is almost straight at the lowest point.",
    "Old foliage turns pale when nitrogen runs short; feed the plant and remove the lowest leaves.",
    "Go out after dark and collect them by hand, or lay out a board under which they hide during the day.",
    "Wait until the nights stay above five degrees, and let the young plants stand in the shade for a few days first.",
    "Soak the soil thoroughly, then leave it alone until it is bone dry, which takes weeks, and in winter even months.",
    "The dough did not rise long enough, or the yeast was too old to make gas; give it more time in a warm place.",
    "A mashed banana or a spoon of ground flax with water binds the batter just as well.",
    "Cut into the thickest part: the juice should run clear and the meat should no longer be pink.",
    "Thin it with unsalted stock or cream, or serve it with plain potatoes that take up the taste.",
    "Thick walls swallow the signal; put the router in the middle of the flat, or add a repeater in the corridor.",
    (
        "Look at which programs start by themselves and switch off those you do not use; a nearly full disk is "
        "another cause."
    ),
    "Deleted pictures usually lie in a bin for thirty days, and from there they can be restored.",
    (
        "String together four or five words that have nothing to do with each other: length counts more than odd "
        "characters."
    ),
    "Get up at the same hour every day, keep the room cool and dark, and leave the phone outside.",
    "Drink a large glass of water, rest in a dark room, and put something cold on your forehead.",
    (
        "A light meal is no reason to stay out of the water; only after a feast it is more comfortable to rest "
        "for a while."
    ),
    "Sit upright, lean forward, and pinch the soft part under the bridge for ten minutes without letting go.",
    (
        "Report it at the desk before you leave the airport; the airline has to search for the suitcase and pay "
        "for what you need meanwhile."
    ),
    "Swallow, chew gum or yawn during the descent, so that the pressure on both sides of the eardrum becomes equal.",
    (
        "Sockets differ from country to country, so an adapter is often needed, while most power supplies accept "
        "any voltage."
    ),
    "Spend the first day in daylight and go to bed by local time, even if your body believes that it is noon.",
    (
        "Pour salt on the spot at once, let it draw up the liquid, and wash the cloth in cold water before the "
        "stain dries."
    ),
    (
        "Soak it in lukewarm water with hair conditioner and pull it gently into shape while it is wet; felted "
        "fibres do not come back entirely."
    ),
    "Use less detergent and add a little vinegar to the rinse; chalk and soap left in the loops make the cloth stiff.",
    "Boil water with a spoon of baking soda in it, let it stand overnight, and the black crust comes off.",
    "It shares its prey with its family, as a mother does with her kittens, and means it as a gift.",
    "Yelp and stop the game every time you feel teeth; the young dog learns that rough play ends the fun.",
    "There is too little oxygen in the tank: change part of the water and let a pump stir the surface.",
    "Sit on the floor and let it come to you; lift it only for seconds, with a hand under the hind legs.",
    "Enough to live on for three months is a good reserve, in an account that you can reach at any time.",
    (
        "That depends on how long you stay: below some five years, fees and taxes eat what you save on the "
        "monthly payments."
    ),
    "With the one you own a piece of a company and its luck; with the other you lend it money at a fixed interest.",
    "Tax and social insurance are taken off the gross amount line by line; what remains at the bottom is paid out.",
    "Air has collected inside; open the small valve with a key until water comes, and then check the pressure.",
    "A worn washer no longer seals the valve; shut off the supply, unscrew the handle and replace the ring.",
    (
        "Warm damp air condenses where the wall is cold; air the room briefly several times a day and pull the "
        "wardrobe away from the wall."
    ),
    "A fuse has tripped because one circuit carried too much; unplug a few devices and switch it back on in the box.",
    "The tree withdraws its green pigment before the frost, and yellow and red ones that were hidden become visible.",
    (
        "Short waves are scattered most by the air, but sunlight holds little of the very shortest, and our eyes "
        "hardly see them."
    ),
    (
        "They learn the route from older birds and steer by the stars, by landmarks and by the magnetic field of "
        "the earth."
    ),
    "The pull of the moon raises the water on the near side and on the far side, and the earth turns beneath both.",
    (
        "Write down what you achieved in the past year, find out what others earn in this position, and name a "
        "figure first."
    ),
    "Dress one step more formally than the people who work there, in something in which you feel comfortable.",
    (
        "Practise aloud in front of a friend, learn the first two sentences by heart, and look at one kind face "
        "in the audience."
    ),
    (
        "Talk to her in private first, with an example at hand, and report your results to your manager yourself "
        "from then on."
    ),
    "Alternate one minute of jogging with two of walking, three times a week, and lengthen the jogging slowly.",
    "Soreness that comes late is harmless and is gone within days; move gently and skip the next hard session.",
    (
        "Turn your head to the side with the body as the arm comes back, take air in the trough behind your "
        "forehead, and exhale under water."
    ),
    "The figure eight, followed back along the rope through the harness, holds safely and is easy to check.",
    "Low temperatures weaken an old battery; have it tested, or charge it overnight before the frost.",
    "It reports a fault in the exhaust or the ignition: you may drive on gently, but have the stored code read soon.",
    (
        "Stop beside the vehicle in front, turn the wheel fully when your back axle is level with its bumper, and "
        "straighten out."
    ),
    "As a rule of thumb from October to Easter, whenever the road may be covered with ice or snow.",
    (
        "Offer a small amount again and again without pressure, eat it with pleasure yourself, and let the little "
        "one help to cook."
    ),
    (
        "Below the age of two none at all is best, apart from a video call with the grandparents; later half an "
        "hour a day."
    ),
    "Read aloud together every evening, follow the words with a finger, and let her guess the next one.",
    (
        "Put her down drowsy but awake, stay beside the cot with a hand on her belly, and repeat the same ritual "
        "every evening."
    ),
    "Press the strings close to the fret with as little force as it takes; after some weeks the skin grows harder.",
    "Once a year, always in the same season, because the wooden soundboard swells and shrinks with the humidity.",
    "Learn two lines of the staff as anchors and count from there, with a few minutes of sight reading every day.",
    "Keep the larynx low and the jaw loose, take breath from the belly, and let the voice change to the head register.",
)

# For ranges of activations; none of them is among the sentences above.
CALIBRATION: tuple[str, ...] = (
    "The postman rings twice when he has a parcel.",
    "What time does the swimming pool open tomorrow?",
    "My aunt keeps bees on the roof of her house.",
    "The first snow fell in the middle of October.",
    "He forgot to water the flowers, and now they hang their heads.",
    "Take the second street on the left, then go straight on until you see the church.",
    "The price of a ticket depends on how early you book it.",
    "Nobody knew who had left the window open.",
    "She speaks three languages and is learning a fourth.",
    "Stir the rice once, put the lid on, and do not lift it for a quarter of an hour.",
    "Is there a chemist near the station?",
    "The old clock in the hall is always five minutes fast.",
    "A lorry lost its load of apples on the motorway.",
    "The meeting was moved to Thursday because half of the people were ill.",
    "Cats sleep for two thirds of their lives.",
    "I need a new pair of shoes before the wedding.",
    "The lake is so clear that one can see the bottom.",
    "Please switch your phones off during the performance.",
    "The factory makes parts for washing machines.",
    "His handwriting is impossible to read.",
    "How do you spell your name?",
    "The children built a hut out of branches and old blankets.",
    "Dark clouds are coming up from the west.",
    "A good pair of scissors lasts a lifetime if you sharpen it.",
    "The film was too long, but the music was beautiful.",
    "They have been friends since their first day at school.",
    "The ferry carries forty cars and three hundred passengers.",
    "Somebody has parked in front of our gate again.",
    "Why are bananas bent?",
    "The vegetable market takes place on the square behind the town hall.",
    "After the operation he had to learn to walk again.",
    "Two spoons of honey are enough for a pot of tea.",
)
