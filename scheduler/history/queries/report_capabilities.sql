-- What each browser can do, as it was last found until $until_s.
SELECT browser, feature, arg_max(value, c."at") AS value, arg_max(browser_build, c."at") AS browser_build
FROM capabilities c
WHERE c."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
GROUP BY browser, feature
ORDER BY feature, browser
