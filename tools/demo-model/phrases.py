"""Templates that belong to no single topic: frames, names, order numbers, follow-ups and the noise around a question.

Grammar as in topics/en.txt: (a|b) is a choice, [slot] is filled in. Of the lists named T_ training never sees a line.
"""
FRAMES = {
    "en": {"n": ["What about [n]?", "(I have|There is) a question about [n].", "(Please |)(tell|inform) me about [n].", "It is about [n].",
                 "(Can|Could) you tell me (something|more) about [n]?", "Please explain [n].", "(Some |)information about [n](, please|).",
                 "I (want|need|would like) to know (something|more) about [n].", "(How does it work with|What can you say about) [n]?"],
           "v": ["How (do|can|could) I [v]?", "I (want|would like|need|have) to [v].", "(Can|Could|May) I [v]?", "Is it possible to [v]?",
                 "(Please |)help me (to |)[v].", "(Can|Could) you help me (to |)[v]?", "What (do I|must I|should I) do to [v]?",
                 "(How does one|Where do I) [v]?", "I am trying to [v]."]},
    "zh": {"n": ["(我想问一下|我想了解)[n]。", "关于[n]，我有个问题。", "(请|)(介绍|说明|讲)一下[n]。", "[n](怎么样|怎么办)？", "[n]是怎么规定的？",
                 "(请告诉我|我想知道)[n]。", "[n]的问题。"],
           "v": ["(怎么|如何|怎样)[v]？", "(我想|我要|我需要)[v]。", "(可以|能|能不能)[v](吗|)？", "(请|)帮我[v]。", "[v](要|该)怎么做？", "我想知道怎么[v]。"]},
}
BEFORE = {"en": ["Hi, ", "Hello, ", "Excuse me, ", "Sorry, ", "One more question: ", "And ", "Okay, ", "Please tell me: ", "Well, ", "Hey, ", "So, "],
          "zh": ["请问，", "你好，", "那么，", "不好意思，", "还有，", "麻烦问一下，", "对了，", "您好，"]}
AFTER = {"en": [" Please help.", " Thank you.", " Thanks.", " Can you help?", " I need an answer."], "zh": ["谢谢。", "请帮忙。", "能帮我吗？", "麻烦了。"]}

NAME_TOLD = {
    "en": ["(Hi|Hello|Hey), (my name is|I am|this is) [name].", "My name is [name].", "I am [name].", "(Hello|Hi), [name] here.", "(You can |)call me [name].",
           "(Good morning|Good evening), (I am|my name is) [name].", "The name is [name]."],
    "zh": ["(你好|您好)，(我叫|我是|我的名字是)[name]。", "我叫[name]。", "我是[name]。", "我的名字(是|叫)[name]。", "(早上好|晚上好)，我是[name]。", "(请|)叫我[name]。"]}
NAME_NOTED = {"en": "Hello [name], how can I help you?", "zh": "您好，[name]，有什么可以帮您？"}
NAME_ASKED = {
    "en": ["What is my name?", "What was my name(| again)?", "(Do|Can) you (remember|know) my name?", "Who am I?", "(Tell|Say) me my name.",
           "Which name did I (tell|give) you?", "(Please |)repeat my name."],
    "zh": ["我叫什么(名字|)？", "(你|您)(还|)(记得|知道)我的名字吗？", "我的名字是什么？", "我是谁？", "(请|)(说|重复)一下我的名字。", "我刚才说我叫什么？"]}
NAME_SAID = {"en": "Your name is [name].", "zh": "您叫[name]。"}
NAME_UNKNOWN = {"en": "You have not told me your name yet.", "zh": "您还没有告诉我您的名字。"}

ORDER_TOLD = {
    "en": ["My order (number |)is [order].", "(The|My) order number is [order].", "It is about order [order].", "I have order [order].",
           "I am writing about order [order].", "I have a question about order [order]."],
    "zh": ["我的订单号(是|)[order]。", "订单号(是|)[order]。", "我的订单是[order]。", "是关于订单[order]的。", "我想问订单[order]。"]}
ORDER_NOTED = {"en": "Thank you, I have noted order [order]. What can I do for you?", "zh": "谢谢，我记下了订单[order]。需要我做什么？"}
ORDER_GIVEN = {  # the answer to "please tell me your order number"
    "en": ["[order]", "[order].", "It is [order].", "(My|The) (order |)number is [order].", "(Yes|Sure|Okay), (it is |)[order].", "Order [order].", "Here it is: [order]."],
    "zh": ["[order]", "[order]。", "是[order]。", "订单号(是|)[order]。", "(好的|好)，[order]。", "我的订单号是[order]。"]}
ORDER_ADDED = {  # behind a question
    "en": [" (My|The) order number is [order].", " It is order [order].", " Order [order].", " Order number [order].", " My order is [order]."],
    "zh": ["订单号(是|)[order]。", "我的订单号是[order]。", "订单[order]。"]}
ORDER_ASKED = {
    "en": ["What (is|was) my order number(| again)?", "(Do|Can) you (remember|know) my order number?", "Which order (number |)did I (tell|give) you?",
           "(Please |)repeat my order number.", "(Tell|Say) me my order number.", "What (is|was) the number of my order?"],
    "zh": ["我的订单号(是多少|是什么)？", "(你|您)(还|)(记得|知道)我的订单号吗？", "(请|)(说|重复)一下我的订单号。", "我刚才说的订单号是什么？", "订单号是多少来着？"]}
ORDER_SAID = {"en": "Your order number is [order].", "zh": "您的订单号是[order]。"}
ORDER_UNKNOWN = {"en": "You have not told me your order number yet.", "zh": "您还没有告诉我您的订单号。"}

BOTH_TOLD = {
    "en": ["(Hi|Hello), (I am|my name is) [name] and my order (number |)is [order].", "My name is [name], my order number is [order].",
           "(Hi|Hello), [name] here, it is about order [order].", "I am [name], order [order]."],
    "zh": ["(你好|您好)，(我叫|我是)[name]，(我的|)订单号是[order]。", "我叫[name]，订单[order]。", "我是[name]，我的订单是[order]。"]}
BOTH_NOTED = {"en": "Hello [name], I have noted order [order]. What can I do for you?", "zh": "您好，[name]，我记下了订单[order]。需要我做什么？"}

FOLLOW_UPS = {
    "en": {"time": ["(And |)how long does (that|it|this) take?", "How long is that?", "(And |)how many days is that?", "(And |)when (is that|will that be)?",
                    "(And |)until when?", "How soon is that?", "How fast is that?"],
           "cost": ["(And |)(what|how much) does (that|it) cost?", "(And |)how much is (that|it)?", "(Is that|Is it) free?", "Do I have to pay for (that|it)?",
                    "What is the price of that?", "(And |)what do I pay?"],
           "where": ["(And |)where (is that|do I find that|can I find it)?", "Where exactly?", "Where do I (click|look|see that)?", "I cannot find (that|it).",
                     "(And |)on which page?"]},
    "zh": {"time": ["(那|)(要|需要)(多久|几天)？", "多长时间？", "(那|)什么时候？", "要等多久？", "到什么时候？"],
           "cost": ["(那|)(多少钱|要多少钱)？", "(这个|那)(要钱|免费|收费)吗？", "费用是多少？", "要付钱吗？", "(那|)价格呢？"],
           "where": ["(那|)在哪里？", "在哪(里|)(找|看)？", "我找不到。", "具体在哪里？", "在什么地方点？"]},
}
T_FOLLOW_UPS = {"en": {"time": "How much time does that take?", "cost": "What will I pay for that?", "where": "Where can I see that?"},
                "zh": {"time": "大概要多长时间？", "cost": "那个收多少钱？", "where": "在哪个地方？"}}
